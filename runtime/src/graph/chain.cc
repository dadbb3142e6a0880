// Chains of monotone float operations and the thresholds that say the same. Compiled without contraction into fused
// multiply-adds: the operations replaced round after each step.
#include "graph/chain.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

namespace bduo {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

float clamp(float x, Activation activation) {
  switch (activation) {
    case Activation::kRelu: return std::max(x, 0.0f);
    case Activation::kRelu1: return std::min(std::max(x, -1.0f), 1.0f);
    case Activation::kRelu6: return std::min(std::max(x, 0.0f), 6.0f);
    default: return x;
  }
}

float apply(const Chain& chain, float x, int32_t channel) {
  for (const ChainOp& op : chain) x = op(x, channel);
  return x;
}

int direction(const Chain& chain, int32_t channel) {
  int sign = 1;
  for (const ChainOp& op : chain) sign *= op.direction(channel);
  return sign;
}

bool finite(const Chain& chain, int32_t channel) {
  return std::all_of(chain.begin(), chain.end(), [&](const ChainOp& op) {
    return op.type == ChainOp::kActivationOnly || std::isfinite(op.values[op.per_channel ? channel : 0]);
  });
}

// The first integer in low..high for which `test` is not as for `low`, knowing that for `high` it is not.
template <class Test>
int64_t first_change(int64_t low, int64_t high, const Test& test) {
  const bool at_low = test(low);
  while (high - low > 1) {
    const int64_t middle = low + (high - low) / 2;
    (test(middle) == at_low ? low : high) = middle;
  }
  return high;
}

// Floats as integers of the same order: -0 is the one before +0.
int64_t ordinal(float x) {
  int32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  return bits ^ ((bits >> 31) & 0x7fffffff);
}

float from_ordinal(int64_t ordinal) {
  auto bits = static_cast<int32_t>(ordinal);
  bits ^= (bits >> 31) & 0x7fffffff;
  float x;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}

}  // namespace

float ChainOp::operator()(float x, int32_t channel) const {
  const float c = type == kActivationOnly ? 0 : values[per_channel ? channel : 0];
  switch (type) {
    case kAdd: x = x + c; break;
    case kSubtract: x = x - c; break;
    case kSubtractFrom: x = c - x; break;
    case kMultiply: x = x * c; break;
    case kActivationOnly: break;
  }
  return clamp(x, activation);
}

int ChainOp::direction(int32_t channel) const {
  if (type == kSubtractFrom) return -1;
  return type == kMultiply && values[per_channel ? channel : 0] < 0 ? -1 : 1;
}

float ConvOutput::operator()(int32_t dot, int32_t channel) const {
  const double scale = multiplier[channel];
  const auto factor = static_cast<float>(-1 * scale);
  const auto offset = static_cast<float>(static_cast<double>(bias[channel]) + static_cast<double>(depth) * scale);
  int32_t least = -depth, most = depth;
  if (activation == Activation::kRelu || activation == Activation::kRelu6) least = 0;
  if (activation == Activation::kRelu1) least = std::max(least, -1), most = std::min(most, 1);
  if (activation == Activation::kRelu6) most = std::min(most, 6);
  // Twice the accumulator, clamped where the dot product would be.
  const int32_t x = std::max(std::min(depth - dot, depth - least), depth - most);
  return static_cast<float>(x) * factor + offset;
}

bool compare_stage(const ConvOutput& conv, const Comparison& comparison, CompareStage* stage) {
  const int32_t channels = comparison.channels;
  const int32_t depth = conv.depth;
  stage->pooled = comparison.pooled;
  stage->copies = static_cast<int32_t>(comparison.copies.size());
  stage->negate.assign(channels, 0);
  for (const Chain& chain : comparison.copies) {
    for (int32_t c = 0; c < channels; ++c) {
      if (!std::isfinite(conv(-depth, c)) || !std::isfinite(conv(depth, c)) || !finite(comparison.before, c) || !finite(chain, c)) return false;
      // A maximum of what falls with the dot product is had from the maximum of its negative.
      const int sign = conv.multiplier[c] < 0 ? -1 : 1;
      const bool negate = comparison.pooled && sign * direction(comparison.before, c) < 0;
      stage->negate[c] = negate;
      auto value = [&](int64_t v) {
        const auto dot = static_cast<int32_t>(negate ? -v : v);
        return apply(chain, apply(comparison.before, conv(dot, c), c), c);
      };
      if (std::isnan(value(-depth)) || std::isnan(value(depth))) return false;
      auto bit = [&](int64_t v) { return value(v) < 0; };
      const bool at_least = bit(-depth), at_most = bit(depth);
      int64_t threshold = at_least ? int64_t{depth} + 1 : -depth;  // constant
      if (at_least != at_most) threshold = first_change(-depth, depth, bit);
      stage->threshold.push_back(static_cast<int32_t>(threshold));
      stage->inverted.push_back(!at_least && at_most);
    }
  }
  return true;
}

bool threshold_quantize(const Comparison& comparison, ThresholdQuantize* stage) {
  if (comparison.pooled) return false;
  stage->channels = comparison.channels;
  stage->copies = static_cast<int32_t>(comparison.copies.size());
  const int64_t lowest = ordinal(std::numeric_limits<float>::lowest()), highest = ordinal(std::numeric_limits<float>::max());
  for (const Chain& chain : comparison.copies) {
    for (int32_t c = 0; c < comparison.channels; ++c) {
      if (!finite(comparison.before, c) || !finite(chain, c)) return false;
      auto value = [&](int64_t x) { return apply(chain, apply(comparison.before, from_ordinal(x), c), c); };
      if (std::isnan(value(lowest)) || std::isnan(value(highest))) return false;
      auto bit = [&](int64_t x) { return value(x) < 0; };
      const bool at_least = bit(lowest), at_most = bit(highest);
      float threshold = at_least ? -kInfinity : kInfinity;  // constant: greater than that
      if (at_least != at_most) {
        const int64_t change = first_change(lowest, highest, bit);
        threshold = from_ordinal(at_least ? change : change - 1);
      }
      stage->threshold.push_back(threshold);
      stage->greater.push_back(!(at_least && !at_most));
    }
  }
  return stage->validate().ok();
}

}  // namespace bduo
