// What a thread needs to run a task, allocated when the convolution is prepared.
#pragma once

#include "conv/buffer.h"

namespace bduo {

// Sums of every pixel of a band, one chunk of channels wide.
struct Sums {
  Buffer<int32_t> values;
  int64_t stride = 0;  // int32 from a pixel's sums to the next pixel's
  int64_t width = 0;   // pixels of a row: the output's, rounded up to what the kernel takes together

  int32_t* row(int64_t y) { return values.data() + y * width * stride; }
};

struct Scratch {
  Buffer<uint8_t> row;             // bits of a row of the input with its padding, which stays 0
  Buffer<uint8_t> input;           // expanded rows with their padding
  Buffer<const uint8_t*> patches;  // of every pixel of a band, as the kernel counts them: where they begin in `input`
  int64_t patch_count = 0;
  Sums sums;
  Buffer<int32_t> pooled;         // one pixel, one chunk wide
  Buffer<const int32_t*> window;  // the pixels of sums under the pool's window
};

}  // namespace bduo
