// The corrections of sums, for each tap, and their addition where the tap lies outside the image.
#include "conv/zero_padding.h"

namespace bduo {

Status ZeroPadding::prepare(const ConvShape& conv_shape, const Filter& filter) {
  shape = conv_shape;
  if (!corrections.allocate(filter.taps * shape.channels_out)) return no_memory();
  for (int64_t output = 0; output < shape.channels_out; ++output) {
    const int32_t sign = filter.sign_bit(output) != 0 ? -1 : 1;
    for (int64_t tap = 0; tap < filter.taps; ++tap) {
      const int32_t* words = filter.tap(output, tap);
      int32_t dot = 0;
      for (int64_t c = 0; c < filter.channels; ++c) dot += bit_of(words, c) != 0 ? -1 : 1;
      corrections[tap * shape.channels_out + output] = sign * dot;
    }
  }
  return Status();
}

void ZeroPadding::correct_pixel(const Chunk& chunk, int64_t y, int64_t x, int32_t* sums) const {
  const Window& w = shape.window;
  const int32_t channels = chunk.channels;  // in a register: as an int32 it might be one of the sums that are written
  for (int32_t c = 0; c < channels; ++c) sums[c] *= 2;
  for (int64_t ky = 0; ky < w.height; ++ky) {
    const int64_t in_y = y * w.stride_height - w.pad_top + ky * w.dilation_height;
    for (int64_t kx = 0; kx < w.width; ++kx) {
      const int64_t in_x = x * w.stride_width - w.pad_left + kx * w.dilation_width;
      if (in_y >= 0 && in_y < shape.input_height && in_x >= 0 && in_x < shape.input_width) continue;
      const int32_t* correction = corrections.data() + (ky * w.width + kx) * shape.channels_out + chunk.first;
      for (int32_t c = 0; c < channels; ++c) sums[c] += correction[c];
    }
  }
}

void ZeroPadding::correct(const Chunk& chunk, const Bands& bands, int64_t band, Sums& sums) const {
  int64_t row = 0;
  bands.pieces(band, [&](const Piece& piece) {
    for (int64_t y = piece.first_conv; y < piece.last_conv; ++y, ++row) {
      int32_t* pixel = sums.row(row);
      for (int64_t x = 0; x < shape.output_width; ++x, pixel += sums.stride) correct_pixel(chunk, y, x, pixel);
    }
  });
}

}  // namespace bduo
