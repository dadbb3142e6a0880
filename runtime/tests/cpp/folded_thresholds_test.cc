// Folded thresholds against the float operations that they replace, evaluated one after another.
#include "graph/folded_thresholds.h"

#include <cmath>
#include <limits>

#include "reference.h"

namespace bduo::test {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity(), kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kGreatest = std::numeric_limits<float>::max(), kTiny = std::numeric_limits<float>::denorm_min();

// A chain's operation whose constants it owns.
struct Step {
  ChannelOperation::Type type = ChannelOperation::kActivationOnly;
  std::vector<float> values;  // one, or one for each channel
  Activation activation = Activation::kNone;
};
using Steps = std::vector<Step>;

Chain chain_of(const Steps& steps) {
  Chain chain;
  for (const Step& step : steps) {
    ChannelOperation operation;
    operation.type = step.type;
    operation.values = step.values.data();
    operation.per_channel = step.values.size() > 1;
    operation.activation = step.activation;
    chain.push_back(operation);
  }
  return chain;
}

// The same, in the plainest form.
float plain(const Steps& steps, float x, size_t channel) {
  for (const Step& step : steps) {
    const float c = step.values.empty() ? 0 : step.values[step.values.size() > 1 ? channel : 0];
    volatile float y = x;
    switch (step.type) {
      case ChannelOperation::kAdd: y = x + c; break;
      case ChannelOperation::kSubtract: y = x - c; break;
      case ChannelOperation::kSubtractFrom: y = c - x; break;
      case ChannelOperation::kMultiply: y = x * c; break;
      case ChannelOperation::kActivationOnly: break;
    }
    x = y;
    if (step.activation == Activation::kRelu || step.activation == Activation::kRelu6) x = std::max(x, 0.0f);
    if (step.activation == Activation::kRelu6) x = std::min(x, 6.0f);
    if (step.activation == Activation::kRelu1) x = std::min(std::max(x, -1.0f), 1.0f);
  }
  return x;
}

struct Case {
  int32_t depth = 9;
  Activation activation = Activation::kNone;
  std::vector<float> multiplier{1}, bias{0};
  bool pooled = false;
  Steps before;
  std::vector<Steps> copies{{}};

  size_t channels() const { return multiplier.size(); }
  Comparison comparison() const {
    Comparison result;
    result.channels = static_cast<int32_t>(channels());
    result.pooled = pooled;
    result.before = chain_of(before);
    for (const Steps& steps : copies) result.copies.push_back(chain_of(steps));
    return result;
  }
  std::optional<CompareStage> fold() const {
    ConvOutput output;
    output.depth = depth;
    output.activation = activation;
    output.multiplier = multiplier.data();
    output.bias = bias.data();
    return fold_into_integers(output, comparison());
  }
  // The float operations' bit, over the window of these dot products.
  bool bit(const std::vector<int32_t>& window, size_t copy, size_t c) const {
    float most = -kInfinity;
    for (int32_t dot : window) {
      const float y = transformed(dot, activation, depth, multiplier[c], bias[c], 1, 0);
      most = std::max(most, plain(before, y, c));
    }
    return plain(copies[copy], most, c) < 0;
  }
};

// CompareStage's bit, as its comment defines it.
bool stage_bit(const CompareStage& stage, const std::vector<int32_t>& window, size_t copy, size_t c) {
  int32_t most = INT32_MIN;
  for (int32_t dot : window) most = std::max(most, stage.negated[c] != 0 ? -dot : dot);
  const size_t at = copy * stage.negated.size() + c;
  return (most < stage.threshold[at]) != (stage.inverted[at] != 0);
}

void check_integers(const Case& t, const std::string& what, Random& random, Checks& checks) {
  const std::optional<CompareStage> stage = t.fold();
  checks.that(stage.has_value(), what + ": is folded");
  if (!stage) return;
  bool equal = stage->pooled == t.pooled && stage->copies == static_cast<int32_t>(t.copies.size());
  for (size_t k = 0; k < t.copies.size(); ++k) {
    for (size_t c = 0; c < t.channels(); ++c) {
      for (int32_t dot = -t.depth; dot <= t.depth; ++dot) {
        std::vector<int32_t> window{dot};
        for (int i = t.pooled ? random.between(0, 3) : 0; i > 0; --i) {
          window.push_back(random.between(-t.depth, t.depth));
        }
        equal = equal && stage_bit(*stage, window, k, c) == t.bit(window, k, c);
      }
    }
  }
  checks.that(equal, what + ": every bit");
}

Step random_step(size_t channels, Random& random) {
  Step step;
  step.type = random.one_of({ChannelOperation::kAdd, ChannelOperation::kSubtract, ChannelOperation::kSubtractFrom,
                             ChannelOperation::kMultiply, ChannelOperation::kActivationOnly});
  step.activation = random.one_of({Activation::kNone, Activation::kNone, Activation::kRelu, Activation::kRelu1, Activation::kRelu6});
  const size_t count = random.coin() ? channels : 1;
  for (size_t i = 0; i < count; ++i) {
    step.values.push_back(random.between(0, 9) == 0 ? 0 : random.real() * (random.coin() ? 1 : 20));
  }
  return step;
}

Steps random_steps(size_t channels, Random& random) {
  Steps steps;
  for (int i = random.between(0, 3); i > 0; --i) steps.push_back(random_step(channels, random));
  return steps;
}

Case random_case(Random& random) {
  Case t;
  t.depth = random.one_of({1, 2, 9, 32, 288});
  t.activation = random.one_of({Activation::kNone, Activation::kNone, Activation::kRelu, Activation::kRelu1, Activation::kRelu6});
  t.multiplier.clear(), t.bias.clear();
  for (int i = random.between(1, 5); i > 0; --i) {
    t.multiplier.push_back(random.real());
    t.bias.push_back(random.real() * 5);
  }
  t.pooled = random.coin();
  t.before = random_steps(t.channels(), random);
  t.copies.clear();
  for (int i = random.between(1, 3); i > 0; --i) t.copies.push_back(random_steps(t.channels(), random));
  return t;
}

void test_signs(Checks& checks) {
  // y = -dot and -1 * y: a maximum of either is not the maximum of the dot product, one of both is.
  for (float multiplier : {1.0f, -1.0f}) {
    for (float factor : {1.0f, -1.0f}) {
      Case t;
      t.multiplier = {multiplier, 1};
      t.bias = {0, 0};
      t.before = {{ChannelOperation::kMultiply, {factor, 1}, Activation::kNone}};
      for (bool pooled : {false, true}) {
        t.pooled = pooled;
        const std::optional<CompareStage> stage = t.fold();
        checks.that(stage && stage->negated == std::vector<uint8_t>{pooled && multiplier * factor < 0, 0},
                    "negated only if pooled and falling");
      }
    }
  }
  Case t;
  t.pooled = true;
  t.copies = {{{ChannelOperation::kSubtractFrom, {2}, Activation::kNone}}};
  checks.that(t.fold() && t.fold()->negated[0] == 0, "what comes behind the pool negates nothing");
}

void test_ties(Checks& checks) {
  Case t;  // y is the dot product
  t.copies = {{{ChannelOperation::kSubtract, {3}, Activation::kNone}}, {{ChannelOperation::kSubtractFrom, {3}, Activation::kNone}}};
  const std::optional<CompareStage> stage = t.fold();
  checks.that(stage && stage->threshold == std::vector<int32_t>{3, 4} && stage->inverted == std::vector<uint8_t>{0, 1},
              "dot < 3, and dot > 3 as the inverse of dot < 4");
  t.copies = {{{ChannelOperation::kMultiply, {0}, Activation::kNone}, {ChannelOperation::kSubtract, {1}, Activation::kNone}},
              {{ChannelOperation::kMultiply, {0}, Activation::kNone}},
              {{ChannelOperation::kSubtract, {100}, Activation::kNone}},
              {{ChannelOperation::kAdd, {100}, Activation::kNone}}};
  const std::optional<CompareStage> constant = t.fold();
  checks.that(constant && constant->threshold == std::vector<int32_t>{10, -9, 10, -9} && constant->inverted == std::vector<uint8_t>(4, 0),
              "all on above K, all off at -K");
}

void test_clamps(Checks& checks) {
  // After a relu no number is below 0, so that only a positive subtrahend leaves anything to decide; relu6 and relu1
  // bound the other side.
  struct Expected {
    Activation activation;
    float subtrahend;
    int32_t threshold;
  };
  for (const Expected& e : {Expected{Activation::kRelu, 0, -9}, Expected{Activation::kRelu, 0.5f, 1}, Expected{Activation::kRelu6, 6, 6},
                            Expected{Activation::kRelu6, 6.5f, 10}, Expected{Activation::kRelu1, -1, -9},
                            Expected{Activation::kRelu1, -0.5f, 0}, Expected{Activation::kRelu1, 1.5f, 10}}) {
    Case in_conv, in_chain;
    in_conv.activation = e.activation;
    in_conv.copies = {{{ChannelOperation::kSubtract, {e.subtrahend}, Activation::kNone}}};
    in_chain.before = {{ChannelOperation::kActivationOnly, {}, e.activation}};
    in_chain.copies = in_conv.copies;
    for (const Case& t : {in_conv, in_chain}) {
      const std::optional<CompareStage> stage = t.fold();
      checks.that(stage && stage->threshold[0] == e.threshold && stage->inverted[0] == 0,
                  "a clamp, subtracting " + std::to_string(e.subtrahend));
    }
  }
}

void test_refused(Checks& checks) {
  const auto refused = [&](const Case& t, const std::string& what) { checks.that(!t.fold(), what + " is not folded into integers"); };
  for (float bad : {kNan, kInfinity, -kInfinity}) {
    const std::string name = std::to_string(bad);
    Case t;
    t.multiplier = {bad};
    refused(t, "a multiplier of " + name);
    t = Case();
    t.bias = {bad};
    refused(t, "a bias of " + name);
    for (auto type : {ChannelOperation::kAdd, ChannelOperation::kSubtract, ChannelOperation::kSubtractFrom, ChannelOperation::kMultiply}) {
      const Step step{type, {bad}, Activation::kNone};
      t = Case();
      t.before = {step};
      refused(t, "a constant before a pool of " + name);
      t = Case();
      t.copies = {{}, {step}};
      refused(t, "a constant in a copy of " + name);
      checks.that(!fold_into_floats(t.comparison()), "a constant of " + name + " is not folded into floats");
    }
  }
  Case t;
  t.multiplier = {kGreatest};
  refused(t, "an output that overflows");
  t = Case();
  t.copies = {{{ChannelOperation::kMultiply, {kGreatest}, Activation::kNone},
               {ChannelOperation::kMultiply, {kGreatest}, Activation::kNone},
               {ChannelOperation::kMultiply, {0}, Activation::kNone}}};
  refused(t, "infinity times zero");
  checks.that(!fold_into_floats(t.comparison()), "infinity times zero is not folded into floats");
  t = Case();
  t.pooled = true;
  checks.that(!fold_into_floats(t.comparison()), "a max pool is not folded into floats");
}

bool float_bit(const ThresholdQuantize& stage, float x, size_t copy, size_t c) {
  const size_t at = copy * static_cast<size_t>(stage.channels) + c;
  return stage.negated[at] != 0 ? x > stage.threshold[at] : x < stage.threshold[at];
}

void check_floats(const Case& t, const std::string& what, Random& random, Checks& checks) {
  const std::optional<ThresholdQuantize> stage = fold_into_floats(t.comparison());
  bool makes_nan = false;
  for (size_t k = 0; k < t.copies.size(); ++k) {
    for (size_t c = 0; c < t.channels(); ++c) {
      for (float x : {kGreatest, -kGreatest}) {
        makes_nan = makes_nan || std::isnan(plain(t.copies[k], plain(t.before, x, c), c));
      }
    }
  }
  checks.that(stage.has_value() == !makes_nan, what + ": is folded unless it makes NaN");
  if (!stage) return;
  bool equal = stage->copies == static_cast<int32_t>(t.copies.size());
  for (size_t k = 0; k < t.copies.size(); ++k) {
    for (size_t c = 0; c < t.channels(); ++c) {
      const float threshold = stage->threshold[k * t.channels() + c];
      std::vector<float> numbers{0.0f, -0.0f, kTiny, -kTiny, 1, -1, kGreatest, -kGreatest};
      if (std::isfinite(threshold)) {
        for (float x : {threshold, std::nextafter(threshold, kInfinity), std::nextafter(threshold, -kInfinity)}) {
          if (std::isfinite(x)) numbers.push_back(x);
        }
        numbers.push_back(kInfinity),
            numbers.push_back(-kInfinity);  // The threshold says that the chain depends on its input.
      }
      for (int i = 0; i < 20; ++i) numbers.push_back(random.real() * 40);
      for (float x : numbers) {
        equal = equal && float_bit(*stage, x, k, c) == (plain(t.copies[k], plain(t.before, x, c), c) < 0);
      }
      equal = equal && !float_bit(*stage, kNan, k, c);
    }
  }
  checks.that(equal, what + ": every bit of floats");
}

void test_float_ties(Checks& checks) {
  Case t;
  t.copies = {{{ChannelOperation::kSubtract, {0.5f}, Activation::kNone}},
              {{ChannelOperation::kSubtractFrom, {0.5f}, Activation::kNone}},
              {{ChannelOperation::kMultiply, {0}, Activation::kNone}, {ChannelOperation::kSubtract, {1}, Activation::kNone}},
              {{ChannelOperation::kMultiply, {0}, Activation::kNone}}};
  const std::optional<ThresholdQuantize> stage = fold_into_floats(t.comparison());
  checks.that(stage && stage->threshold == std::vector<float>{0.5f, 0.5f, -kInfinity, kInfinity} &&
                  stage->negated == std::vector<uint8_t>{0, 1, 1, 1},
              "x < 0.5, x > 0.5, all on, all off");
}

void test_scaling(Random& random, Checks& checks) {
  for (Activation activation : {Activation::kNone, Activation::kRelu, Activation::kRelu1, Activation::kRelu6}) {
    for (int32_t depth : {1, 9, 4608}) {
      for (double scale : {1.0, 0.25}) {
        OutputScaling scaling;
        scaling.activation = activation;
        scaling.depth = depth;
        scaling.scale = scale;
        scaling.zero_point = scale == 1 ? 0 : -7;
        const float multiplier = random.real(), bias = random.real() * 30;
        const ChannelScaling channel = scaling.channel(multiplier, bias);
        bool equal = true;
        for (int32_t dot = -depth; dot <= depth; ++dot) {
          equal = equal && channel(depth - dot) == transformed(dot, activation, depth, multiplier, bias, scale, scaling.zero_point);
        }
        checks.that(equal, "LCE's scaling");
      }
    }
  }
}

int main_of_test() {
  Checks checks;
  Random random(2024);
  test_signs(checks);
  test_ties(checks);
  test_clamps(checks);
  test_refused(checks);
  test_float_ties(checks);
  test_scaling(random, checks);
  for (int i = 0; i < 600; ++i) {
    Case t = random_case(random);
    check_integers(t, "random case " + std::to_string(i), random, checks);
    t.pooled = false;
    check_floats(t, "random case " + std::to_string(i), random, checks);
  }
  return checks.finish("folded_thresholds_test");
}

}  // namespace
}  // namespace bduo::test

int main() { return bduo::test::main_of_test(); }
