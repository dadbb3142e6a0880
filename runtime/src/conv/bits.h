// Operators between bits and numbers, and the max pool of bits. Bit 1 means -1, bit 0 means +1.
#pragma once

#include <cstdint>
#include <vector>

#include "conv/shape.h"
#include "conv/thread_pool.h"
#include "status.h"

namespace bduo {

// LceQuantize turns rows of `channels` numbers into rows of ceil(channels / 32) words. A bit is value < 0 (float; NaN and -0 give 0),
// value < zero_point (int8, with any int32 zero point) or !value (bool, one byte each). Padding bits are written 0.
void quantize(const float* input, int64_t rows, int32_t channels, int32_t* output, ThreadPool& pool);
void quantize(const int8_t* input, int32_t zero_point, int64_t rows, int32_t channels, int32_t* output, ThreadPool& pool);
void quantize(const bool* input, int64_t rows, int32_t channels, int32_t* output, ThreadPool& pool);

// LceDequantize turns bit 1 into `one` and bit 0 into `zero`. LCE's values are -1 and +1 for float, false and true for bool, and for int8
// max(-128, zero_point - round(1 / scale)) / min(127, zero_point + round(1 / scale)), which int8_values computes.
void dequantize(const int32_t* input, int64_t rows, int32_t channels, float one, float zero, float* output, ThreadPool& pool);
void dequantize(const int32_t* input, int64_t rows, int32_t channels, int8_t one, int8_t zero, int8_t* output, ThreadPool& pool);
void dequantize(const int32_t* input, int64_t rows, int32_t channels, bool one, bool zero, bool* output, ThreadPool& pool);
// Fails if scale is not positive and finite.
Status int8_values(float scale, int32_t zero_point, int8_t* one, int8_t* zero);

// Compares floats with thresholds and packs the bits: what concat(tau_k - y) or concat(y - tau_k) and LceQuantize say, in one pass.
//   bit(k, c) = y < threshold[k * channels + c], or -y < -threshold[...] where negated[k * channels + c]   (NaN gives 0)
// written in ChannelLayout::copied(copies, channels).
struct ThresholdQuantize {
  int32_t channels = 0, copies = 1;
  std::vector<float> threshold;  // copies * channels
  std::vector<uint8_t> negated;  // copies * channels

  Status validate() const;
  void run(const float* input, int64_t rows, int32_t* output, ThreadPool& pool) const;
};

// LceBMaxPool2d takes maxima of +1 and -1, which are the bitwise and of the window's pixels inside the image. Tensors are
// [batch][height][width][words].
void bit_max_pool(const PoolShape& shape, int32_t words, const int32_t* input, int32_t* output, ThreadPool& pool);

}  // namespace bduo
