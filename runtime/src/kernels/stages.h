// The contract of the stages: what follows a bit GEMM on a pixel's sums, and bits from numbers. As in bit_gemm.h, nothing inline here.
#pragma once

#include <cstdint>

namespace bduo {

// From a sum x to a float: float(clamp(x << shift)) * multiplier + bias, each step rounded to float.
struct Scaling {
  int shift = 0;
  int32_t clamp_min = 0, clamp_max = 0;
  const float* multiplier = nullptr;  // one a channel
  const float* bias = nullptr;        // one a channel
};

struct FloatRows {
  const float* first = nullptr;
  int64_t stride = 0;  // floats from a row to the next
  int64_t rows = 0;
  int64_t n = 0;  // floats of a row
};

// No alignment is needed. Except where stated, inputs are read and outputs written up to n only, and bits beyond n of a last byte are
// written 0.
struct Stages {
  // y = x scaled (+ residual if that is not null, rounded again).
  void (*scale)(const int32_t* x, int64_t n, const Scaling& scaling, const float* residual, float* y) = nullptr;
  // y = x scaled, rounded half away from zero and saturated to int8 (NaN gives 127).
  void (*scale_int8)(const int32_t* x, int64_t n, const Scaling& scaling, int8_t* y) = nullptr;
  // out = minimum over `count` >= 1 rows of n sums; reads and writes round_up(n, 8).
  void (*minimum)(const int32_t* const* rows, int64_t count, int64_t n, int32_t* out) = nullptr;
  // Bit i of bits = (x[i] > threshold[i]) xor bit i of inverted; writes ceil(n / 8) bytes; reads round_up(n, 8) of x and threshold. Bits
  // beyond n come from what is there: thresholds of INT32_MAX and inverted bits of 0 make them 0.
  void (*compare)(const int32_t* x, int64_t n, const int32_t* threshold, const uint8_t* inverted, uint8_t* bits) = nullptr;

  // Bits of n numbers, ceil(n / 8) bytes: bit = x < 0.
  void (*float_signs)(const float* x, int64_t n, uint8_t* bits) = nullptr;
  // The same for bit = x < zero_point.
  void (*int8_signs)(const int8_t* x, int64_t n, int8_t zero_point, uint8_t* bits) = nullptr;
  // Bits of each row: bit i = x < threshold[i], or -x < -threshold[i] where bit i of negated is set; bits_stride is in bytes.
  void (*float_below)(const FloatRows& x, const float* threshold, const uint8_t* negated, uint8_t* bits, int64_t bits_stride) = nullptr;
};

namespace kernels {
#define BDUO_STAGES(processor, name, needs, file) extern const Stages name;
#include "kernels/list.inc"
}  // namespace kernels

}  // namespace bduo
