// Thresholds that replace float operations: a chain of operations with constants, each monotone, and a comparison with
// 0 behind it are folded into one comparison with a threshold, for integers (the sums of a binary convolution, perhaps
// with a max pool between) or for floats.
//
// A number is negated, which multiplies it by -1; a bit is inverted, which turns it over.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "conv/binary_conv.h"
#include "conv/bits.h"

namespace bduo {

// x + c, x - c, c - x or x * c in float32, then a fused activation; one constant for all channels or one for each.
struct ChannelOperation {
  enum Type { kAdd, kSubtract, kSubtractFrom, kMultiply, kActivationOnly };
  Type type = kActivationOnly;
  const float* values = nullptr;  // not owned; kActivationOnly has none
  bool per_channel = false;
  Activation activation = Activation::kNone;

  float operator()(float x, int32_t channel) const;
  // Whether the result falls as x grows; else it grows or stays.
  bool negates(int32_t channel) const;
};

using Chain = std::vector<ChannelOperation>;

// What is compared with 0 to make the bits of `copies.size()` copies of `channels` channels:
//   bit(k, c) = copies[k](pool(before(x)))[c] < 0, the pool only where there is one.
struct Comparison {
  int32_t channels = 0;
  bool pooled = false;
  Chain before;
  std::vector<Chain> copies;
};

// The float32 output of a binary convolution as LCE computes it.
struct ConvOutput {
  int32_t depth = 0;  // K; the dot product lies in -K..K
  Activation activation = Activation::kNone;
  const float* multiplier = nullptr;  // as in the file, one for each channel
  const float* bias = nullptr;
};

// Integer thresholds that give, for every dot product that can occur, the very bits of the float operations: each is
// found by evaluating these, which are monotone, at the integers themselves. The window of the pool is left for the
// caller to fill in. Nothing if a constant is NaN or infinite, or if the operations make NaN.
std::optional<CompareStage> fold_into_integers(const ConvOutput& conv, const Comparison& comparison);

// Float thresholds that do the same for float32 inputs, found among the floats. They are exact for every finite x, and
// for infinite ones unless a channel's chain does not depend on x. Nothing for the reasons above, or if there is a
// pool.
std::optional<ThresholdQuantize> fold_into_floats(const Comparison& comparison);

}  // namespace bduo
