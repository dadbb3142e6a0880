// How each operator is read and prepared: a good node, then the same with one thing wrong.
#include <functional>
#include <tuple>
#include <utility>

#include "check.h"
#include "graph.h"
#include "graph/node.h"

namespace bduo::test {
namespace {

constexpr int kUint8 = 3;  // a type that no operator here takes

// A graph of one node. `change` makes what is wrong with it before the node is added, `change_node` after.
struct OneNode {
  Graph graph;
  std::map<std::string, int32_t> options;
  std::vector<int> inputs, outputs;
};

std::string error_of(Graph& graph, int index, Node* node) {
  const Status status = read_node(graph.context(), index, node);
  return status.ok() ? "" : status.text();
}

void conv_node(OneNode& t) {
  t.options = conv_options(64);
  t.inputs = {t.graph.bits({1, 4, 4, 2}), t.graph.constant(kTfLiteInt32, {8, 3, 3, 2}, std::vector<int32_t>(8 * 9 * 2)),
              t.graph.row(std::vector<float>(8, 1)), t.graph.row(std::vector<float>(8)), kTfLiteOptionalTensor};
  t.outputs = {t.graph.floats({1, 4, 4, 8})};
}

void bits_conv_node(OneNode& t) {
  conv_node(t);
  t.inputs = {t.inputs[0], t.inputs[1], kTfLiteOptionalTensor, kTfLiteOptionalTensor,
              t.graph.constant(kTfLiteInt32, {8}, std::vector<int32_t>(8))};
  t.outputs = {t.graph.bits({1, 4, 4, 1})};
}

void pool_node(OneNode& t) {
  t.options = pool_options();
  t.inputs = {t.graph.bits({1, 4, 4, 2})};
  t.outputs = {t.graph.bits({1, 2, 2, 2})};
}

void quantize_node(OneNode& t) {
  t.inputs = {t.graph.floats({1, 4, 40})};
  t.outputs = {t.graph.bits({1, 4, 2})};
}

void dequantize_node(OneNode& t) {
  t.inputs = {t.graph.bits({1, 4, 2})};
  t.outputs = {t.graph.floats({1, 4, 40})};
}

using Make = void (*)(OneNode&);
using Change = std::function<void(OneNode&)>;

Change type_of_input(size_t i, int type) {
  return [=](OneNode& t) { t.graph.at(t.inputs[i]).type = type; };
}
Change type_of_output(int type) {
  return [=](OneNode& t) { t.graph.at(t.outputs[0]).type = type; };
}
Change option(const char* key, int32_t value) {
  return [=](OneNode& t) { t.options[key] = value; };
}
Change without(size_t input) {
  return [=](OneNode& t) { t.inputs[input] = kTfLiteOptionalTensor; };
}
Change variable(size_t input) {
  return [=](OneNode& t) { t.graph.at(t.inputs[input]).allocation_type = kTfLiteArenaRw; };
}
Change shape(size_t input, const std::vector<int>& dims) {
  return [=](OneNode& t) { t.graph.reshape(t.inputs[input], dims); };
}
const Change no_output = [](OneNode& t) { t.outputs = {kTfLiteOptionalTensor}; };
const Change constant_output = [](OneNode& t) { t.outputs = {t.graph.row({1})}; };
const Change two_outputs = [](OneNode& t) { t.outputs.push_back(t.outputs[0]); };
const Change two_inputs = [](OneNode& t) { t.inputs.push_back(t.inputs[0]); };

struct Malformed {
  Make make;
  const char* name;
  Change change;
  std::string error;
};

std::vector<Malformed> malformed_nodes() {
  std::vector<Malformed> all;
  const auto add = [&](Make make, const char* name, const Change& change, const std::string& error) {
    all.push_back({make, name, change, error});
  };
  for (const auto& [make, name, options] :
       {std::tuple{&conv_node, "LceBconv2d", conv_options(64)}, std::tuple{&pool_node, "LceBMaxPool2d", pool_options()}}) {
    for (const auto& entry : options) {
      const std::string key = entry.first;
      add(make, name, [key](OneNode& t) { t.options.erase(key); }, "its options lack " + key);
    }
    add(make, name, option("padding", 2), "its padding is neither SAME nor VALID");
    add(make, name, option("padding", -1), "its padding is neither SAME nor VALID");
  }
  const auto conv = [&](const Change& change, const std::string& error) { add(conv_node, "LceBconv2d", change, error); };
  const std::string positive = "a size, stride or dilation is not positive";
  const std::string scales = "its multiplier and bias are not constant floats, one for each channel";
  conv(option("pad_values", 2), "its pad_values is neither 0 nor 1");
  conv(option("fused_activation_function", 4), "its fused activation is unknown");
  conv(option("stride_height", 0), positive);
  conv(option("dilation_width_factor", -1), positive);
  conv(option("channels_in", 0), positive);
  conv(option("channels_in", -64), positive);
  conv(option("channels_in", 96), "its filter does not fit 96 channels");
  conv(option("channels_in", 2147483647), "its groups do not divide its channels");
  conv(shape(1, {8, 3, 3, 0}), "its filter does not fit 64 channels");
  conv(shape(1, {8, 3, 3, 3}), "its filter does not fit 64 channels");
  conv(shape(1, {7, 3, 3, 1}), "its groups do not divide its channels");
  conv(shape(1, {0, 3, 3, 2}), positive);
  conv(shape(1, {8, 9, 2}), "its filter is not a constant of four dimensions");
  conv(variable(1), "its filter is not a constant of four dimensions");
  conv([](OneNode& t) { t.inputs.pop_back(); }, "it has not five inputs and one output");
  conv(two_outputs, "it has not five inputs and one output");
  conv(without(0), "an input is missing");
  conv(without(1), "an input is missing");
  conv(type_of_input(0, kTfLiteFloat32), "its activations or filter are not packed bits (int32)");
  conv(type_of_input(1, kTfLiteInt8), "its activations or filter are not packed bits (int32)");
  for (size_t i : {2, 3}) {
    conv(without(i), scales);
    conv(variable(i), scales);
    conv(shape(i, {1, 8}), scales);
    conv(shape(i, {7}), scales);
    conv(type_of_input(i, kTfLiteInt32), scales);
  }
  conv(type_of_output(kUint8), "its output is not float32, int8 or packed bits (int32)");
  conv(no_output, "its output is not a tensor to write to");
  conv(constant_output, "its output is not a tensor to write to");
  for (const Change& change : {without(4), variable(4), shape(4, {9}), type_of_input(4, kTfLiteFloat32)}) {
    add(bits_conv_node, "LceBconv2d", change, "its thresholds are not a constant int32 for each channel");
  }
  const auto pool = [&](const Change& change, const std::string& error) { add(pool_node, "LceBMaxPool2d", change, error); };
  pool(option("filter_height", 0), "a size or stride is not positive");
  pool(option("stride_width", -2), "a size or stride is not positive");
  pool(type_of_input(0, kTfLiteFloat32), "it does not read and write packed bits (int32)");
  pool(type_of_output(kTfLiteInt8), "it does not read and write packed bits (int32)");
  for (const auto& [make, name] :
       {std::pair{&pool_node, "LceBMaxPool2d"}, std::pair{&quantize_node, "LceQuantize"}, std::pair{&dequantize_node, "LceDequantize"}}) {
    for (const Change& change : {two_inputs, two_outputs, without(0)}) {
      add(make, name, change, "it has not one input and one output");
    }
    for (const Change& change : {no_output, constant_output}) {
      add(make, name, change, "its output is not a tensor to write to");
    }
  }
  add(quantize_node, "LceQuantize", type_of_output(kTfLiteFloat32), "its bits are not packed in int32");
  add(quantize_node, "LceQuantize", type_of_input(0, kUint8), "its numbers are not float32, int8 or bool");
  add(dequantize_node, "LceDequantize", type_of_input(0, kTfLiteFloat32), "its bits are not packed in int32");
  add(dequantize_node, "LceDequantize", type_of_output(kUint8), "its numbers are not float32, int8 or bool");
  return all;
}

void test_custom(Checks& checks) {
  for (const auto& [make, name] :
       {std::pair{&conv_node, "LceBconv2d"}, std::pair{&bits_conv_node, "LceBconv2d"}, std::pair{&pool_node, "LceBMaxPool2d"},
        std::pair{&quantize_node, "LceQuantize"}, std::pair{&dequantize_node, "LceDequantize"}}) {
    OneNode t;
    make(t);
    Node node;
    const std::string error = error_of(t.graph, t.graph.custom(name, t.inputs, t.outputs, t.options), &node);
    checks.that(error.empty() && node.op && node.op->runs_alone() && std::string(node.name) == name,
                std::string("a good ") + name + ": " + error);
  }
  for (const Malformed& m : malformed_nodes()) {
    OneNode t;
    m.make(t);
    m.change(t);
    Node node;
    const std::string error = error_of(t.graph, t.graph.custom(m.name, t.inputs, t.outputs, t.options), &node);
    checks.that(error == m.name + std::string(" (operator 0): ") + m.error && !node.op,
                std::string(m.name) + ": '" + error + "' is not '" + m.error + "'");
  }
}

void test_others(Checks& checks) {
  OneNode t;
  quantize_node(t);
  Node node;
  checks.that(error_of(t.graph, t.graph.custom("LceOther", t.inputs, t.outputs), &node).empty() && !node.op && node.inputs == t.inputs,
              "a custom operator of others");
  checks.that(error_of(t.graph, t.graph.arithmetic(kTfLiteBuiltinRelu, {t.inputs[0]}, t.outputs[0]), &node).empty() && !node.op, "RELU");
  checks.that(error_of(t.graph, 7, &node) == "the host does not know operator 7", "a node that is not there");
  // Bytes that are no FlexBuffer.
  pool_node(t);
  const int pool = t.graph.custom("LceBMaxPool2d", t.inputs, t.outputs, t.options);
  t.graph.node(pool).custom_initial_data_size = 5;
  checks.that(error_of(t.graph, pool, &node) == "LceBMaxPool2d (operator 2): its options lack filter_height", "options cut off");
  t.graph.node(pool).custom_initial_data = nullptr;
  checks.that(error_of(t.graph, pool, &node) == "LceBMaxPool2d (operator 2): its options lack filter_height", "no options");
}

// Builtin operators that are not of a form that may be fused are the host's, which is no error.
void test_builtins(Checks& checks) {
  Graph graph;
  const int x = graph.floats({1, 4, 4, 8}), y = graph.floats({1, 4, 4, 8}), joined = graph.floats({1, 4, 4, 16}),
            pooled = graph.floats({1, 2, 2, 8});
  const int constant = graph.row(std::vector<float>(8, 1)), integers = graph.bits({1, 4, 4, 8});
  Node node;
  const auto ours = [&](int index) {
    checks.that(error_of(graph, index, &node).empty(), "a builtin operator is no error");
    return node.op != nullptr && !node.op->runs_alone();
  };
  for (int code : {kTfLiteBuiltinAdd, kTfLiteBuiltinSub, kTfLiteBuiltinMul}) {
    checks.that(ours(graph.arithmetic(code, {x, constant}, y)) && node.op->channel_function() && node.op->channel_function()->input == x,
                "arithmetic");
    checks.that(ours(graph.arithmetic(code, {x, x}, y)) && !node.op->channel_function(), "arithmetic of two tensors");
    checks.that(!ours(graph.arithmetic(code, {x, constant}, y, 4)), "an unknown activation");
    checks.that(!ours(graph.arithmetic(code, {x}, y)), "arithmetic of one tensor");
    checks.that(!ours(graph.arithmetic(code, {x, integers}, y)), "arithmetic with integers");
    checks.that(!ours(graph.arithmetic(code, {x, constant}, integers)), "arithmetic to integers");
    checks.that(!ours(graph.arithmetic(code, {x, constant}, constant)), "arithmetic to a constant");
    checks.that(!ours(graph.arithmetic(code, {x, kTfLiteOptionalTensor}, y)), "arithmetic with nothing");
    const int without_options = graph.arithmetic(code, {x, constant}, y);
    graph.node(without_options).builtin_data = nullptr;
    checks.that(!ours(without_options), "arithmetic without options");
  }
  // Constants that are not one number, or one for each channel, of a tensor as large as the output.
  for (const std::vector<int>& dims : {std::vector<int>{7}, {2, 4}, {1, 1, 1, 1, 8}, {0}}) {
    const int other = graph.constant(kTfLiteFloat32, dims, std::vector<float>(8));
    checks.that(ours(graph.arithmetic(kTfLiteBuiltinMul, {x, other}, y)) && !node.op->channel_function(), "a constant of another shape");
  }
  checks.that(ours(graph.arithmetic(kTfLiteBuiltinMul, {constant, x}, pooled)) && !node.op->channel_function(),
              "an output of another shape");
  checks.that(ours(graph.arithmetic(kTfLiteBuiltinAdd, {x, x}, y)) && node.op->is_sum(), "a sum");
  checks.that(ours(graph.arithmetic(kTfLiteBuiltinAdd, {x, x}, y, kTfLiteActRelu)) && !node.op->is_sum(), "a sum with an activation");
  checks.that(ours(graph.arithmetic(kTfLiteBuiltinSub, {x, x}, y)) && !node.op->is_sum(), "a difference");

  checks.that(ours(graph.concatenation({x, y}, joined)) && ours(graph.concatenation({x, y}, joined, 3)), "a concatenation");
  checks.that(!ours(graph.concatenation({x, y}, joined, 0)) && !ours(graph.concatenation({x, y}, joined, -4)), "along other dimensions");
  checks.that(!ours(graph.concatenation({x}, joined)), "a concatenation of one");
  const int activated = graph.concatenation({x, y}, joined);
  graph.concatenation_params(activated).activation = kTfLiteActRelu;
  checks.that(!ours(activated), "a concatenation with an activation");

  checks.that(ours(graph.max_pool(x, pooled)) && node.op->max_pool() && node.op->channel_function()->input == x, "a max pool");
  const auto changed = [&](int TfLitePoolParams::* field, int value) {
    const int pool = graph.max_pool(x, pooled);
    graph.pool_params(pool).*field = value;
    return pool;
  };
  checks.that(!ours(changed(&TfLitePoolParams::padding, kTfLitePaddingUnknown)), "a pool's padding");
  checks.that(!ours(changed(&TfLitePoolParams::stride_width, 0)), "a pool's stride");
  checks.that(!ours(changed(&TfLitePoolParams::filter_height, -1)), "a pool's window");
  checks.that(!ours(changed(&TfLitePoolParams::activation, 4)), "a pool's activation");
}

// What only the shapes of tensors tell.
void test_prepare(Checks& checks) {
  const auto error = [&](
                         Make make, const char* name, const std::vector<int32_t>& dims, const Change& change = [](OneNode&) {}) {
    OneNode t;
    make(t);
    change(t);
    Node node;
    const std::string problem = error_of(t.graph, t.graph.custom(name, t.inputs, t.outputs, t.options), &node);
    if (!problem.empty()) return problem;
    std::unique_ptr<PreparedOperator> prepared;
    const Status status = node.op->prepare({t.graph.context(), {{dims, {}}}, t.outputs[0], 1}, &prepared);
    checks.that(status.ok() == (prepared != nullptr), "prepared if there is no error");
    return status.text();
  };
  using Dims = std::vector<int32_t>;
  checks.that(error(conv_node, "LceBconv2d", Dims{2, 5, 7, 2}).empty() && error(bits_conv_node, "LceBconv2d", Dims{2, 5, 7, 2}).empty(),
              "a convolution");
  checks.that(error(conv_node, "LceBconv2d", Dims{5, 7, 2}) == "its input does not have four dimensions",
              "a convolution of three dimensions");
  checks.that(error(conv_node, "LceBconv2d", Dims{1, 5, 7, 1}) == "its input does not have as many channels as its filter",
              "too few channels");
  checks.that(error(conv_node, "LceBconv2d", Dims{1, 2, 2, 2}, option("padding", 1)) == "the window is larger than the image",
              "a small image");
  checks.that(error(conv_node, "LceBconv2d", Dims{1, 4, 4, 2}, type_of_output(kTfLiteInt8)) ==
                  "the scale of the int8 output is not positive and finite",
              "a scale of zero");
  checks.that(error(pool_node, "LceBMaxPool2d", Dims{2, 5, 7, 2}).empty(), "a pool");
  checks.that(error(pool_node, "LceBMaxPool2d", Dims{5, 7, 2}) == "its input does not have four dimensions", "a pool of three dimensions");
  checks.that(error(pool_node, "LceBMaxPool2d", Dims{1, 1, 4, 2}) == "the window is larger than the image", "a pool of a small image");
  checks.that(error(quantize_node, "LceQuantize", Dims{3, 40}).empty() && error(dequantize_node, "LceDequantize", Dims{3, 2}).empty(),
              "conversions");
  checks.that(error(dequantize_node, "LceDequantize", Dims{3, 1}) == "its output does not have as many channels as its input",
              "too few words");
  checks.that(error(dequantize_node, "LceDequantize", Dims{3, 2}, type_of_output(kTfLiteInt8)) ==
                  "the scale of int8 values is not positive and finite",
              "a scale of zero");
}

int main_of_test() {
  Checks checks;
  test_custom(checks);
  test_others(checks);
  test_builtins(checks);
  test_prepare(checks);
  return checks.finish("operators_test");
}

}  // namespace
}  // namespace bduo::test

int main() { return bduo::test::main_of_test(); }
