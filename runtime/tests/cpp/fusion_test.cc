// Which nodes of small graphs are fused into which steps, and that a fused comparison gives the bits of its operations.
#include "graph/fusion.h"

#include <algorithm>

#include "check.h"
#include "file_limits.h"
#include "graph.h"

namespace bduo::test {
namespace {

// A graph that grows from a binary convolution; every function returns the tensor that it makes.
class Network {
 public:
  explicit Network(int channels = 16) : channels_(channels) { input = graph.bits({1, 4, 4, 1}); }

  int conv(int type = kTfLiteFloat32) {
    const int filter = graph.constant(kTfLiteInt32, {channels_, 3, 3, 1}, std::vector<int32_t>(static_cast<size_t>(channels_) * 9, 5));
    const int multiplier = row(0.5f), bias = row(1),
              thresholds = graph.constant(kTfLiteInt32, {channels_}, std::vector<int32_t>(static_cast<size_t>(channels_)));
    const int output = graph.tensor(type, {1, 4, 4, type == kTfLiteInt32 ? 1 : channels_});
    graph.custom("LceBconv2d", {input, filter, multiplier, bias, thresholds}, {output}, conv_options(32));
    return output;
  }
  int floats(int size = 4) { return graph.floats({1, size, size, channels_}); }
  int row(float value) { return graph.row(std::vector<float>(static_cast<size_t>(channels_), value)); }
  int add(int a, int b, int activation = kTfLiteActNone) { return arithmetic(kTfLiteBuiltinAdd, a, b, activation); }
  int subtract(int a, int b) { return arithmetic(kTfLiteBuiltinSub, a, b); }
  int multiply(int a, int b) { return arithmetic(kTfLiteBuiltinMul, a, b); }
  int max_pool(int x) {
    const int output = floats(graph.at(x).dims->data[1] / 2);
    graph.max_pool(x, output);
    return output;
  }
  int concatenate(const std::vector<int>& inputs) {
    const TfLiteIntArray& dims = *graph.at(inputs[0]).dims;
    const int output = graph.floats({1, dims.data[1], dims.data[2], channels_ * static_cast<int>(inputs.size())});
    graph.concatenation(inputs, output);
    return output;
  }
  int quantize(int x) {
    const TfLiteIntArray& dims = *graph.at(x).dims;
    const int output = graph.bits({1, dims.data[1], dims.data[2], words_of(dims.data[3])});
    graph.custom("LceQuantize", {x}, {output});
    return output;
  }
  int dequantize(int x, int channels) {
    const TfLiteIntArray& dims = *graph.at(x).dims;
    const int output = graph.floats({1, dims.data[1], dims.data[2], channels});
    graph.custom("LceDequantize", {x}, {output});
    return output;
  }
  int read_by_conv(int x, int channels) {
    const TfLiteIntArray& dims = *graph.at(x).dims;
    const int filter =
        graph.constant(kTfLiteInt32, {1, 1, 1, words_of(channels)}, std::vector<int32_t>(static_cast<size_t>(words_of(channels))));
    const int output = graph.floats({1, dims.data[1], dims.data[2], 1});
    graph.custom("LceBconv2d", {x, filter, graph.row({1}), graph.row({0}), kTfLiteOptionalTensor}, {output}, conv_options(channels));
    return output;
  }
  // Several pools may write one tensor, if a damaged file says so.
  int pool_bits(int x, int times = 1) {
    const TfLiteIntArray& dims = *graph.at(x).dims;
    const int output = graph.bits({1, dims.data[1] / 2, dims.data[2] / 2, dims.data[3]});
    for (int i = 0; i < times; ++i) graph.custom("LceBMaxPool2d", {x}, {output}, pool_options());
    return output;
  }

  FusedGraph fused(const std::vector<int>& outputs) {
    std::vector<Node> nodes(static_cast<size_t>(graph.node_count()));
    for (size_t i = 0; i < nodes.size(); ++i) {
      const Status status = read_node(graph.context(), static_cast<int>(i), &nodes[i]);
      if (!status.ok()) std::printf("%s\n", status.text().c_str());
    }
    return fuse(graph.context(), std::move(nodes), outputs);
  }

  Graph graph;
  int input;

 private:
  int arithmetic(int code, int a, int b, int activation = kTfLiteActNone) {
    const int like = graph.at(a).dims->size == 4 ? a : b;
    const TfLiteIntArray& dims = *graph.at(like).dims;
    const int output = graph.floats({dims.data, dims.data + dims.size});
    graph.arithmetic(code, {a, b}, output, activation);
    return output;
  }

  int channels_;
};

using Nodes = std::vector<size_t>;

// Steps as the nodes they stand for, nodes left as a list: what is expected of a graph whose outputs are these tensors.
FusedGraph expect(Checks& checks, const std::string& what, Network& network, const std::vector<int>& outputs,
                  const std::vector<Nodes>& steps, const Nodes& left = {}) {
  FusedGraph fused = network.fused(outputs);
  bool equal = fused.left == left && fused.steps.size() == steps.size();
  std::string found;
  for (size_t i = 0; i < fused.steps.size(); ++i) {
    equal = equal && i < steps.size() && fused.steps[i].nodes == steps[i];
    found += " [";
    for (size_t node : fused.steps[i].nodes) found += " " + std::to_string(node);
    found += " ]";
  }
  checks.that(equal, what + ":" + found + ", left " + std::to_string(fused.left.size()));
  return fused;
}

void test_comparisons(Checks& checks) {
  {
    Network n;
    const int y = n.conv(), bits = n.quantize(n.subtract(n.row(2), y));
    const FusedGraph fused = expect(checks, "conv, SUB, quantize", n, {bits}, {{0, 1, 2}});
    checks.that(fused.steps[0].main == 0 && fused.steps[0].inputs == std::vector<int>{n.input} && fused.steps[0].output == bits &&
                    fused.steps[0].overwritable == -1,
                "its tensors");
  }
  {
    Network n;
    const int y = n.max_pool(n.multiply(n.conv(), n.row(-2)));
    const int bits = n.quantize(n.concatenate({n.subtract(n.row(2), y), n.subtract(n.row(-2), y), y}));
    expect(checks, "conv, MUL, pool, three copies", n, {bits}, {{0, 1, 2, 3, 4, 5, 6}});
  }
  {
    Network n;
    const int y = n.conv(), bits = n.quantize(n.max_pool(n.max_pool(y)));
    expect(checks, "two pools are the host's", n, {bits}, {{0}, {3}}, {1, 2});
  }
  {
    Network n;
    const int y = n.conv(), z = n.subtract(n.row(2), y), bits = n.quantize(z);
    expect(checks, "a float output that is an output", n, {bits, y}, {{0}, {1, 2}});
    expect(checks, "a difference that is an output", n, {bits, z}, {{0}, {2}}, {1});
  }
  {
    Network n;
    const int y = n.conv(), bits = n.quantize(n.subtract(n.row(2), y)), other = n.multiply(y, y);
    expect(checks, "a float output that another node reads", n, {bits, other}, {{0}, {1, 2}}, {3});
  }
  {
    Network n;
    const int y = n.conv();
    const int bits = n.quantize(n.concatenate({n.subtract(n.row(2), y), n.subtract(n.row(1), n.max_pool(y))}));
    expect(checks, "a pool in one copy only", n, {bits}, {{0}, {5}}, {1, 2, 3, 4});
  }
  {
    Network n;
    const int x = n.floats(), bits = n.quantize(n.multiply(n.concatenate({n.add(x, n.row(1)), n.add(x, n.row(2))}), n.graph.row({3})));
    expect(checks, "floats of the host's", n, {bits}, {{0, 1, 2, 3, 4}});
  }
  {
    Network n;
    const int bits = n.quantize(n.floats());
    expect(checks, "a quantize alone", n, {bits}, {{0}});
  }
  {
    Network n;
    const int y = n.conv(kTfLiteInt8);
    n.graph.at(y).params = {0.5f, 3};
    expect(checks, "int8 between", n, {n.quantize(y)}, {{0}, {1}});
  }
}

// Copies whose channels are no whole bytes leave gaps between them, so only convolutions that read all of them may read
// them.
void test_layouts(Checks& checks) {
  const auto two_copies = [](Network& n) {
    const int y = n.conv();
    return n.quantize(n.concatenate({n.subtract(n.row(2), y), n.subtract(n.row(1), y)}));
  };
  const Nodes all{0, 1, 2, 3, 4};
  const std::vector<Nodes> unfused{{0}, {4}, {5}};
  {
    Network n(12);
    const int out = n.read_by_conv(two_copies(n), 24);
    expect(checks, "read by a convolution", n, {out}, {all, {5}});
  }
  {
    Network n(12);
    const int out = n.read_by_conv(n.pool_bits(two_copies(n)), 24);
    expect(checks, "read by a convolution after a pool", n, {out}, {all, {5}, {6}});
  }
  {
    Network n(12);
    const int out = n.dequantize(two_copies(n), 24);
    expect(checks, "read by a dequantize", n, {out}, unfused, {1, 2, 3});
  }
  {
    Network n(12);
    const int out = n.read_by_conv(two_copies(n), 23);
    expect(checks, "read by a convolution of other channels", n, {out}, unfused, {1, 2, 3});
  }
  {
    Network n(12);
    const int bits = two_copies(n);
    expect(checks, "bits that are an output", n, {bits}, {{0}, {4}}, {1, 2, 3});
  }
  {
    Network n(16);
    const int out = n.dequantize(two_copies(n), 32);
    expect(checks, "whole bytes read by a dequantize", n, {out}, {all, {5}});
  }
  for (int pools : {1, 5, 30}) {
    Network n(12);
    int bits = two_copies(n);
    for (int i = 0; i < pools; ++i) bits = n.pool_bits(bits);
    const int out = n.read_by_conv(bits, 24);
    checks.that(n.fused({out}).steps[0].nodes == all, "pools in a row are looked through");
    const int other = n.read_by_conv(bits, 23);
    checks.that(n.fused({out, other}).steps[0].nodes != all, "to every reader behind them");
  }
  {
    Network n(12);
    int bits = two_copies(n);
    for (int i = 0; i < 5; ++i) bits = n.pool_bits(bits, 300);
    const int out = n.read_by_conv(bits, 24);
    checks.that(n.fused({out}).steps.size() > 1500, "the search ends though there are 300 to the power of 5 ways");
  }
}

void test_sums(Checks& checks) {
  {
    Network n;
    const int y = n.conv(), other = n.floats(), sum = n.add(other, y);
    const FusedGraph fused = expect(checks, "a sum", n, {sum}, {{0, 1}});
    checks.that(
        fused.steps[0].inputs == std::vector<int>{n.input, other} && fused.steps[0].overwritable == other && fused.steps[0].output == sum,
        "its tensors");
  }
  {
    Network n;
    const int first = n.conv(), second = n.conv(), sum = n.add(first, second);
    expect(checks, "of two convolutions the first takes the sum", n, {sum}, {{1}, {0, 2}});
  }
  {
    Network n;
    const int y = n.conv();
    expect(checks, "a sum with an activation", n, {n.add(y, n.floats(), kTfLiteActRelu)}, {{0}}, {1});
  }
  {
    Network n;
    const int y = n.conv();
    expect(checks, "a tensor added to itself", n, {n.add(y, y)}, {{0}}, {1});
  }
  {
    Network n;
    const int y = n.conv(), sum = n.add(y, n.floats());
    expect(checks, "a float output that is an output too", n, {y, sum}, {{0}}, {1});
  }
  {
    Network n;
    const int y = n.conv(), sum = n.add(y, n.graph.floats({1, 1, 1, 16}));
    expect(checks, "a sum that broadcasts", n, {sum}, {{0}}, {1});
  }
  {
    Network n;
    const int y = n.conv(), sum = n.add(y, n.row(1));
    expect(checks, "a constant added", n, {sum}, {{0}}, {1});
  }
}

void test_limits(Checks& checks) {
  const size_t most = limits::kMostChainedOperators;
  {
    Network n;
    int x = n.floats();
    for (size_t i = 0; i < most + 2; ++i) x = n.add(x, n.row(1));
    const FusedGraph fused = n.fused({n.quantize(x)});
    checks.that(fused.steps.size() == 1 && fused.steps[0].nodes.size() == most + 1 && fused.left == Nodes{0, 1},
                "a chain of too many operators");
  }
  {
    Network n;
    const int x = n.floats();
    const std::vector<int> copies(limits::kMostConcatenated + 1, x);
    const FusedGraph fused = n.fused({n.quantize(n.concatenate(copies))});
    checks.that(fused.steps.size() == 1 && fused.steps[0].nodes == Nodes{1} && fused.left == Nodes{0},
                "a concatenation of too many tensors");
  }
  {
    Network n;
    const int x = n.graph.floats({1, 1, 1, 1 << 21}), one = n.graph.row({1});
    std::vector<int> outputs;
    for (int i = 0; i < 2; ++i) {
      const int y = n.graph.floats({1, 1, 1, 1 << 21});
      n.graph.arithmetic(kTfLiteBuiltinAdd, {x, one}, y);
      outputs.push_back(n.quantize(y));
    }
    const FusedGraph fused = n.fused(outputs);
    checks.that(fused.left == Nodes{2} && fused.steps.size() == 2 && fused.steps[0].nodes == Nodes{0, 1}, "the work of a plan is used up");
  }
}

// Constants behind a concatenation are cut into the copies' parts, and the step's bits are those of the operations.
void test_bits(Checks& checks) {
  constexpr size_t kChannels = 5, kRows = 7;
  Random random(3);
  std::vector<float> first(kChannels), second(2 * kChannels), third(2 * kChannels), x(kRows * kChannels);
  for (auto* values : {&first, &second, &third, &x}) {
    for (float& value : *values) value = random.real();
  }
  Network n(kChannels);
  Graph& g = n.graph;
  const int in = g.floats({kRows, kChannels}), a = g.floats({kRows, kChannels}), joined = g.floats({kRows, 2 * kChannels});
  const int b = g.floats({kRows, 2 * kChannels}), c = g.floats({kRows, 2 * kChannels}), bits = g.bits({kRows, 1});
  g.arithmetic(kTfLiteBuiltinSub, {g.row(first), in}, a);
  g.concatenation({a, in}, joined);
  g.arithmetic(kTfLiteBuiltinMul, {joined, g.row(second)}, b);
  g.arithmetic(kTfLiteBuiltinAdd, {g.row(third), b}, c);
  g.custom("LceQuantize", {c}, {bits});
  const int out = g.floats({kRows, 1});
  const int filter = g.constant(kTfLiteInt32, {1, 1, 1, 1}, std::vector<int32_t>(1));
  g.custom("LceBconv2d", {bits, filter, g.row({1}), g.row({0}), kTfLiteOptionalTensor}, {out}, conv_options(2 * kChannels));
  const FusedGraph fused = expect(checks, "constants behind a concatenation", n, {out}, {{0, 1, 2, 3, 4}, {5}});

  std::unique_ptr<PreparedOperator> prepared;
  ThreadPool pool(1);
  const Status status = fused.steps[0].op->prepare({g.context(), {TensorShape{{kRows, kChannels}, {}}}, bits, 1}, &prepared);
  checks.that(status.ok() && prepared->shape.dims == std::vector<int32_t>{kRows, 1}, "a comparison is prepared: " + status.text());
  if (!status.ok()) return;
  std::vector<int32_t> output(kRows, -1);
  const void* inputs[] = {x.data()};
  prepared->run(inputs, output.data(), pool);
  bool equal = true;
  for (size_t row = 0; row < kRows; ++row) {
    uint32_t expected = 0;
    for (size_t i = 0; i < 2 * kChannels; ++i) {
      const size_t channel = i % kChannels;
      const float y = x[row * kChannels + channel], joined_value = i < kChannels ? first[channel] - y : y;
      volatile float product = joined_value * second[i];
      if (product + third[i] < 0) expected |= uint32_t{1} << prepared->shape.layout.position[i];
    }
    equal = equal && static_cast<uint32_t>(output[row]) == expected;
  }
  checks.that(equal, "a comparison's bits");
}

int main_of_test() {
  Checks checks;
  test_comparisons(checks);
  test_layouts(checks);
  test_sums(checks);
  test_limits(checks);
  test_bits(checks);
  return checks.finish("fusion_test");
}

}  // namespace
}  // namespace bduo::test

int main() { return bduo::test::main_of_test(); }
