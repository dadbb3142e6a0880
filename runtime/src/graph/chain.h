// Chains of float operations with constants, each monotone, and the thresholds that say the same as "chain(x) < 0".
#pragma once

#include <cstdint>
#include <vector>

#include "conv/binary_conv.h"
#include "conv/bits.h"

namespace bduo {

// x + c, x - c, c - x or x * c in float32, then a fused activation; one constant for all channels or one for each.
struct ChainOp {
  enum Type { kAdd, kSubtract, kSubtractFrom, kMultiply, kActivationOnly } type;
  const float* values;  // not owned
  bool per_channel;
  Activation activation;

  float operator()(float x, int32_t channel) const;
  // -1 where the result falls as x grows, 1 where it grows (or stays).
  int direction(int32_t channel) const;
};

using Chain = std::vector<ChainOp>;

// What is compared with 0 to make the bits of `copies.size()` copies of `channels` channels:
//   bit(k, c) = copies[k](pool(before(x)))[c] < 0, the pool only where there is one.
struct Comparison {
  int32_t channels = 0;
  bool pooled = false;
  Chain before;
  std::vector<Chain> copies;
};

// The float32 output of a binary convolution as LCE computes it: y = float(clamp(dot)) * multiplier[c] + bias[c].
struct ConvOutput {
  int32_t depth = 0;  // K, the dot product lies in -K..K
  Activation activation = Activation::kNone;
  const float* multiplier = nullptr;
  const float* bias = nullptr;

  float operator()(int32_t dot, int32_t channel) const;
};

// Integer thresholds that give, for every dot product that can occur, the very bits of the float operations: each is found
// by evaluating these, which are monotone, at the integers themselves. False if that fails (NaN or infinite constants).
bool compare_stage(const ConvOutput& conv, const Comparison& comparison, CompareStage* stage);

// The same for float32 inputs, found among the floats; exact for every finite x, and for infinite ones unless a channel's
// chain does not depend on x.
bool threshold_quantize(const Comparison& comparison, ThresholdQuantize* stage);

}  // namespace bduo
