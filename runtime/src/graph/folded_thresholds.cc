// Thresholds that replace float operations. Compiled without contraction into fused multiply-adds: the operations that
// are replaced round after each step.
#include "graph/folded_thresholds.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

namespace bduo {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

float clamp(float x, Activation activation) {
  switch (activation) {
    case Activation::kNone: break;
    case Activation::kRelu: return std::max(x, 0.0f);
    case Activation::kRelu1: return std::min(std::max(x, -1.0f), 1.0f);
    case Activation::kRelu6: return std::min(std::max(x, 0.0f), 6.0f);
  }
  return x;
}

float apply(const Chain& chain, float x, int32_t channel) {
  for (const ChannelOperation& operation : chain) x = operation(x, channel);
  return x;
}

bool negates(const Chain& chain, int32_t channel) {
  bool result = false;
  for (const ChannelOperation& operation : chain) result ^= operation.negates(channel);
  return result;
}

bool finite(const Chain& chain, int32_t channel) {
  return std::all_of(chain.begin(), chain.end(), [&](const ChannelOperation& operation) {
    return operation.type == ChannelOperation::kActivationOnly || std::isfinite(operation.values[operation.per_channel ? channel : 0]);
  });
}

// Where a monotone test over the integers low..high changes, found by bisection.
struct Change {
  bool at_low = false, at_high = false;  // the test's values at both ends
  int64_t first = 0;                     // the first integer whose value is that of `high`, if the two differ
  bool constant() const { return at_low == at_high; }
};

template <class Test>
Change find_change(int64_t low, int64_t high, const Test& test) {
  Change change{test(low), test(high), high};
  if (change.constant()) return change;
  while (change.first - low > 1) {
    const int64_t middle = low + (change.first - low) / 2;
    (test(middle) == change.at_low ? low : change.first) = middle;
  }
  return change;
}

// Floats as integers of the same order; -0 is the one before +0.
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

float ChannelOperation::operator()(float x, int32_t channel) const {
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

bool ChannelOperation::negates(int32_t channel) const {
  return type == kSubtractFrom || (type == kMultiply && values[per_channel ? channel : 0] < 0);
}

std::optional<CompareStage> fold_into_integers(const ConvOutput& conv, const Comparison& comparison) {
  const int32_t channels = comparison.channels, depth = conv.depth;
  const OutputScaling output_scaling{conv.activation, depth};
  CompareStage stage;
  stage.pooled = comparison.pooled;
  stage.copies = static_cast<int32_t>(comparison.copies.size());
  stage.negated.assign(static_cast<size_t>(channels), 0);
  for (const Chain& chain : comparison.copies) {
    for (int32_t c = 0; c < channels; ++c) {
      const ChannelScaling scaling = output_scaling.channel(conv.multiplier[c], conv.bias[c]);
      if (!std::isfinite(scaling(0)) || !std::isfinite(scaling(2 * depth)) || !finite(comparison.before, c) || !finite(chain, c)) {
        return {};
      }
      // The pool takes the maximum of numbers. Where they fall as the dot product grows, it is had from the maximum of
      // the negated one.
      const bool negated = comparison.pooled && (conv.multiplier[c] < 0) != negates(comparison.before, c);
      stage.negated[static_cast<size_t>(c)] = negated;
      auto value = [&](int64_t maximum) {
        const auto dot = static_cast<int32_t>(negated ? -maximum : maximum);
        return apply(chain, apply(comparison.before, scaling(depth - dot), c), c);
      };
      if (std::isnan(value(-depth)) || std::isnan(value(depth))) return {};
      const Change change = find_change(-depth, depth, [&](int64_t maximum) { return value(maximum) < 0; });
      // The stage's bit is v < threshold: always where the threshold is above K, never where it is -K.
      const int64_t constant = change.at_low ? int64_t{depth} + 1 : -depth;
      stage.threshold.push_back(static_cast<int32_t>(change.constant() ? constant : change.first));
      stage.inverted.push_back(!change.at_low && change.at_high);
    }
  }
  return stage;
}

std::optional<ThresholdQuantize> fold_into_floats(const Comparison& comparison) {
  if (comparison.pooled) return {};
  ThresholdQuantize stage;
  stage.channels = comparison.channels;
  stage.copies = static_cast<int32_t>(comparison.copies.size());
  const int64_t lowest = ordinal(std::numeric_limits<float>::lowest()), highest = ordinal(std::numeric_limits<float>::max());
  for (const Chain& chain : comparison.copies) {
    for (int32_t c = 0; c < comparison.channels; ++c) {
      if (!finite(comparison.before, c) || !finite(chain, c)) return {};
      auto value = [&](int64_t x) { return apply(chain, apply(comparison.before, from_ordinal(x), c), c); };
      if (std::isnan(value(lowest)) || std::isnan(value(highest))) return {};
      const Change change = find_change(lowest, highest, [&](int64_t x) { return value(x) < 0; });
      // The stage's bit is x < threshold or, where `negated` says so, -x < -threshold.
      const bool negated = change.constant() || change.at_high;
      float threshold = change.at_low ? -kInfinity : kInfinity;  // of a constant bit
      if (!change.constant()) threshold = from_ordinal(negated ? change.first - 1 : change.first);
      stage.threshold.push_back(threshold);
      stage.negated.push_back(negated);
    }
  }
  if (!stage.validate().ok()) return {};
  return stage;
}

}  // namespace bduo
