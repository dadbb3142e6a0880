// Checks of shapes, and layouts of channels.
#include "conv/shape.h"

#include <algorithm>
#include <initializer_list>

#include "file_limits.h"

namespace bduo {
namespace {

int64_t effective(int64_t window, int64_t dilation) { return (window - 1) * dilation + 1; }

// Multiplies checked sizes. False once the product passes limits::kMostConvElements.
bool product_fits(std::initializer_list<int64_t> sizes) {
  int64_t product = 1;
  for (int64_t size : sizes) {
    if (size > limits::kMostConvElements / product) return false;
    product *= size;
  }
  return true;
}

bool sizes_are(std::initializer_list<int64_t> sizes) {
  return std::all_of(sizes.begin(), sizes.end(), [](int64_t size) { return size >= 1 && size <= limits::kLargestSize; });
}

// Whether one dimension of a window fits an image: it starts inside the image or its padding, and the padding is less than it.
bool slides(int64_t input, int64_t output, int64_t window, int64_t stride, int64_t dilation, int64_t pad) {
  const int64_t size = effective(window, dilation);
  return size <= limits::kLargestSize && pad >= 0 && pad < size && (output - 1) * stride - pad < input;
}

Status check_window(const Window& w, int64_t input_height, int64_t input_width, int64_t output_height, int64_t output_width) {
  if (!sizes_are({w.height, w.width, w.stride_height, w.stride_width, w.dilation_height, w.dilation_width, input_height, input_width,
                  output_height, output_width})) {
    return Status::error("a size, window, stride or dilation is not positive or too large");
  }
  if (!slides(input_height, output_height, w.height, w.stride_height, w.dilation_height, w.pad_top) ||
      !slides(input_width, output_width, w.width, w.stride_width, w.dilation_width, w.pad_left)) {
    return Status::error("the window, its padding and the sizes of input and output do not fit together");
  }
  return Status();
}

}  // namespace

ChannelLayout ChannelLayout::packed(int32_t channels) { return copied(1, channels); }

ChannelLayout ChannelLayout::copied(int32_t copies, int32_t channels) {
  ChannelLayout layout;
  if (copies < 1 || channels < 1 || !product_fits({copies, int64_t{channels} + 31})) return layout;
  const int32_t stride = (channels + 7) / 8 * 8;
  layout.words = static_cast<int32_t>((int64_t{copies} * stride + 31) / 32);
  layout.position.reserve(static_cast<size_t>(copies) * static_cast<size_t>(channels));
  for (int32_t k = 0; k < copies; ++k) {
    for (int32_t c = 0; c < channels; ++c) layout.position.push_back(k * stride + c);
  }
  return layout;
}

Status slide(int32_t input, int32_t window, int32_t stride, int32_t dilation, bool same, int32_t* output, int32_t* pad_before) {
  if (!sizes_are({input, window, stride, dilation}) || effective(window, dilation) > limits::kLargestSize) {
    return Status::error("a size, window, stride or dilation is not positive or too large");
  }
  const int64_t size = effective(window, dilation);
  const int64_t count = same ? (int64_t{input} + stride - 1) / stride : (int64_t{input} - size + stride) / stride;
  if (!same && input < size) return Status::error("the window is larger than the image");
  *output = static_cast<int32_t>(count);
  *pad_before = same ? static_cast<int32_t>(std::max<int64_t>(0, (count - 1) * stride + size - input) / 2) : 0;
  return Status();
}

Status ConvShape::validate() const {
  if (!sizes_are({batch, channels_in, channels_out, groups})) {
    return Status::error("batch, channels or groups are not positive or too large");
  }
  if (channels_in % groups != 0 || channels_out % groups != 0) return Status::error("channels are not a multiple of the groups");
  if (Status status = check_window(window, input_height, input_width, output_height, output_width); !status.ok()) return status;
  if (!product_fits({batch, input_height, input_width, int64_t{channels_in} + 31}) ||
      !product_fits({batch, output_height, output_width, channels_out}) ||
      !product_fits({channels_out, window.height, window.width, int64_t{channels_in / groups} + 31}) || depth() > limits::kLargestDepth) {
    return Status::error("the tensors are too large");
  }
  return Status();
}

Status PoolShape::validate() const {
  if (!sizes_are({batch})) return Status::error("the batch is not positive or too large");
  if (window.dilation_height != 1 || window.dilation_width != 1) return Status::error("a pool has no dilation");
  if (Status status = check_window(window, input_height, input_width, output_height, output_width); !status.ok()) return status;
  if (!product_fits({batch, input_height, input_width}) || !product_fits({batch, output_height, output_width})) {
    return Status::error("the tensors are too large");
  }
  return Status();
}

}  // namespace bduo
