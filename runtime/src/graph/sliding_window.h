// A window as an operator's options give it, before the size of its input is known.
#pragma once

#include <vector>

#include "conv/shape.h"
#include "status.h"

namespace bduo {

struct SlidingWindow {
  Window size;        // The padding in it is not set: it follows from the input's size.
  bool same = false;  // TFLite's SAME padding; else VALID

  // Every size, stride and dilation is positive.
  bool valid() const;
  // Lays the window over an image: its padding, and how often it fits.
  Status over(int32_t height, int32_t width, Window* window, int32_t* output_height, int32_t* output_width) const;
  // Lays it as a pool over a tensor of the dimensions [batch][height][width][anything].
  Status pool_over(const std::vector<int32_t>& dims, PoolShape* pool) const;
};

}  // namespace bduo
