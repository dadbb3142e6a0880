// The input's side of a convolution: its rows are expanded into scratch with their padding, and patches are places in them.
#pragma once

#include <cstdint>

#include "conv/bands.h"
#include "conv/scratch.h"
#include "conv/shape.h"
#include "kernels/bit_gemm.h"
#include "status.h"

namespace bduo {

struct Patches {
  ConvShape shape;
  const BitGemm* gemm = nullptr;
  int64_t input_pixel = 0;     // bytes of a pixel's bits
  int64_t group_stride = 0;    // bytes from a group's bits to the next group's
  int64_t group_bytes = 0;     // bytes of a group's bits that matter, as the kernel aligns them
  int64_t pixel_bytes = 0;     // group_bytes of all groups
  int64_t expanded_pixel = 0;  // bytes of those once expanded
  int64_t padded_width = 0;    // pixels of an expanded row
  int64_t sums_width = 0;      // Sums::width

  // Checks that the layout is one that the shape can have, and the size of what will be expanded.
  Status prepare(const ConvShape& conv_shape, const ChannelLayout& input, const BitGemm& kernel);

  int64_t row_bytes() const { return padded_width * expanded_pixel; }
  int64_t expanded_group() const { return group_bytes * gemm->expansion; }
  // Pixels from a patch to the one beside it; if there is none, as many as lead to the zeros behind the row.
  int64_t next_patch() const { return std::min<int64_t>(shape.window.stride_width, padded_width); }
  // Rows of the padded input that rows of the convolution's output read.
  int64_t input_rows(int64_t conv_rows) const { return (conv_rows - 1) * shape.window.stride_height + shape.window.effective_height(); }

  // Expands the input rows of a band, padding being bits 0, and notes where every patch begins.
  void gather(const uint8_t* input, const Bands& bands, int64_t band, Scratch& scratch) const;

 private:
  void expand_row(const uint8_t* from, uint8_t* to, Scratch& scratch) const;
};

}  // namespace bduo
