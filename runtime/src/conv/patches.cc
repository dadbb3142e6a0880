// Checks of the input's layout, and the gathering of patches.
#include "conv/patches.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "file_limits.h"

namespace bduo {
namespace {

int64_t round_up(int64_t x, int64_t multiple) { return (x + multiple - 1) / multiple * multiple; }

// The channels of every group must lie in words of their own, each at a bit of its own. Finds the bytes of a group that matter.
Status check_layout(const ConvShape& shape, const ChannelLayout& layout, int64_t* group_bytes) {
  if (layout.words < 1 || layout.channels() != shape.channels_in) {
    return Status::error("the input's layout does not have the convolution's channels");
  }
  if (layout.words % shape.groups != 0) return Status::error("groups do not begin at words of the input");
  if (int64_t{layout.words} > limits::kMostConvElements / shape.batch / shape.input_height / shape.input_width) {
    return Status::error("the input is too large");
  }
  const int64_t bits = int64_t{layout.words} / shape.groups * 32;
  const int32_t channels = shape.channels_in / shape.groups;
  std::vector<bool> taken(static_cast<size_t>(layout.words) * 32);
  int64_t last = 0;
  for (int32_t c = 0; c < shape.channels_in; ++c) {
    const int64_t position = layout.position[static_cast<size_t>(c)], first = c / channels * bits;
    if (position < first || position >= first + bits) return Status::error("a channel of the input does not lie in the words of its group");
    if (taken[static_cast<size_t>(position)]) return Status::error("two channels of the input share a bit");
    taken[static_cast<size_t>(position)] = true;
    last = std::max(last, position - first);
  }
  *group_bytes = last / 8 + 1;
  return Status();
}

}  // namespace

Status Patches::prepare(const ConvShape& conv_shape, const ChannelLayout& input, const BitGemm& kernel) {
  shape = conv_shape;
  gemm = &kernel;
  if (Status status = check_layout(shape, input, &group_bytes); !status.ok()) return status;
  input_pixel = int64_t{input.words} * 4;
  group_stride = input_pixel / shape.groups;
  group_bytes = round_up(group_bytes, gemm->align);
  pixel_bytes = shape.groups * group_bytes;
  expanded_pixel = pixel_bytes * gemm->expansion;
  padded_width = (int64_t{shape.output_width} - 1) * shape.window.stride_width + shape.window.effective_width();
  sums_width = round_up(shape.output_width, gemm->patches);
  if (row_bytes() > limits::kMostWindowBytes / shape.window.effective_height()) return Status::error("the input's rows are too large");
  return Status();
}

void Patches::expand_row(const uint8_t* from, uint8_t* to, Scratch& scratch) const {
  const int64_t columns = std::min<int64_t>(shape.input_width, padded_width - shape.window.pad_left);
  uint8_t* bits = scratch.row.data() + shape.window.pad_left * pixel_bytes;
  if (pixel_bytes == input_pixel) {
    std::memcpy(bits, from, static_cast<size_t>(columns * input_pixel));
  } else {
    for (int64_t x = 0; x < columns; ++x, from += input_pixel) {
      for (int64_t group = 0; group < shape.groups; ++group, bits += group_bytes) {
        std::memcpy(bits, from + group * group_stride, static_cast<size_t>(group_bytes));
      }
    }
  }
  gemm->expand(scratch.row.data(), padded_width * pixel_bytes, next_patch() * pixel_bytes, to);
}

void Patches::gather(const uint8_t* input, const Bands& bands, int64_t band, Scratch& scratch) const {
  const Window& w = shape.window;
  uint8_t* to = scratch.input.data();
  const uint8_t** patch = scratch.patches.data();
  bands.pieces(band, [&](const Piece& piece) {
    const uint8_t* image = input + piece.image * shape.input_height * shape.input_width * input_pixel;
    const uint8_t* window = to;  // of the row's first patch
    const int64_t top = piece.first_conv * w.stride_height, bottom = top + input_rows(piece.last_conv - piece.first_conv);  // padded
    for (int64_t row = top; row < bottom; ++row, to += row_bytes()) {
      const int64_t y = row - w.pad_top;
      if (y < 0 || y >= shape.input_height) {
        std::memset(to, 0, static_cast<size_t>(row_bytes()));
      } else {
        expand_row(image + y * shape.input_width * input_pixel, to, scratch);
      }
    }
    for (int64_t y = piece.first_conv; y < piece.last_conv; ++y, window += w.stride_height * row_bytes()) {
      for (int64_t x = 0; x < shape.output_width; x += gemm->patches) *patch++ = window + x * w.stride_width * expanded_pixel;
    }
  });
  scratch.patch_count = patch - scratch.patches.data();
}

}  // namespace bduo
