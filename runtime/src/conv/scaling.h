// How LCE makes numbers of a binary convolution's sums. The kernels and the thresholds that replace these numbers both
// take it from here.
#pragma once

#include <cstdint>

namespace bduo {

enum class Activation { kNone, kRelu, kRelu1, kRelu6 };  // It clamps the integer dot product, before multiplier and bias.

// The nearest number that 32 bits hold.
int32_t saturated(int64_t x);

// The numbers of one output channel:
//   y = float(clamp(x)) * multiplier + bias, each step rounded to float32, with x = K - dot, which is twice the
//   accumulator.
struct ChannelScaling {
  int32_t clamp_min = 0, clamp_max = 0;  // of x
  float multiplier = 0, bias = 0;

  float operator()(int32_t x) const;
};

// What all channels of a convolution have in common. An int8 output stands for (q - zero_point) * scale; a float output
// has 1 and 0.
struct OutputScaling {
  Activation activation = Activation::kNone;
  int64_t depth = 0;  // K; the dot product lies in -K..K
  double scale = 1, zero_point = 0;

  // From the multiplier and the bias in the file, of which y = float(clamp(dot)) * multiplier + bias is meant. The
  // constants are computed in double and then rounded, as LCE does, so that the results are equal to the bit.
  ChannelScaling channel(float multiplier, float bias) const;
};

}  // namespace bduo
