// What to run for a set of operators: which are fused into one pass, and which are better left to the host.
#include "graph/plan.h"

#include <algorithm>
#include <limits>
#include <map>
#include <set>

namespace bduo {
namespace {

constexpr size_t kNone = std::numeric_limits<size_t>::max();
// Bounds on what is looked for, so that no file makes the search long.
constexpr size_t kMostOperations = 64, kMostCopies = 64;
constexpr int64_t kMostWork = 1 << 22;  // operations whose thresholds are sought, channel by channel, in the whole plan

class Planner {
 public:
  Planner(TfLiteContext* context, std::vector<Node> nodes, const std::vector<int>& outputs)
      : context_(context), outputs_(outputs.begin(), outputs.end()) {
    plan_.nodes = std::move(nodes);
    taken_.assign(plan_.nodes.size(), false);
    for (size_t i = 0; i < plan_.nodes.size(); ++i) {
      for (int id : plan_.nodes[i].outputs) producer_[id] = i;
      for (int id : plan_.nodes[i].inputs) readers_[id].push_back(i);
    }
  }

  Plan make() {
    for (size_t i = 0; i < plan_.nodes.size(); ++i) {
      if (node(i).kind == Kind::kQuantize) fuse_comparison(i);
    }
    for (size_t i = 0; i < plan_.nodes.size(); ++i) {
      if (node(i).kind == Kind::kAdd && !taken_[i]) fuse_residual(i);
    }
    for (size_t i = 0; i < plan_.nodes.size(); ++i) {
      if (!taken_[i]) add_single(i);
    }
    std::sort(plan_.steps.begin(), plan_.steps.end(), [](const Step& a, const Step& b) { return a.nodes.back() < b.nodes.back(); });
    return std::move(plan_);
  }

 private:
  // The way back from a tensor through operations of one input: tensors[0] is where it begins, nodes[i] makes tensors[i]
  // from tensors[i + 1].
  struct Path {
    std::vector<int> tensors;
    std::vector<size_t> nodes;
    std::vector<ChainOp> ops;  // of nodes, a pool's being its fused activation
  };

  const Node& node(size_t i) const { return plan_.nodes[i]; }
  const TfLiteTensor& tensor(int id) const { return tensor_of(context_, id); }

  size_t producer(int id) const {
    const auto found = producer_.find(id);
    return found == producer_.end() ? kNone : found->second;
  }

  // Whether a tensor is read by these nodes only.
  bool inside(int id, const std::set<size_t>& nodes) const {
    if (outputs_.count(id)) return false;
    const auto found = readers_.find(id);
    return found == readers_.end() || std::all_of(found->second.begin(), found->second.end(), [&](size_t i) { return nodes.count(i); });
  }

  // If a node computes, channel by channel, a function of one tensor that is not constant: that tensor and the function.
  bool as_operation(const Node& n, int* input, ChainOp* op) const {
    op->activation = n.activation;
    if (n.kind == Kind::kMaxPool) {
      *op = {ChainOp::kActivationOnly, nullptr, false, n.activation};
      *input = n.inputs[0];
      return true;
    }
    if (n.kind != Kind::kAdd && n.kind != Kind::kSub && n.kind != Kind::kMul) return false;
    for (int side : {0, 1}) {
      const TfLiteTensor& constant = tensor(n.inputs[1 - side]);
      const TfLiteTensor& x = tensor(n.inputs[side]);
      int32_t count = 0;
      const float* values = constant_row(constant, &count);
      if (!values || is_constant(x) || !x.dims || dims_of(x) != dims_of(tensor(n.outputs[0]))) continue;
      if (constant.dims->size > x.dims->size || (count != 1 && count != channels_of(x))) continue;
      *input = n.inputs[side];
      op->values = values;
      op->per_channel = count != 1;
      op->type = n.kind == Kind::kAdd   ? ChainOp::kAdd
                 : n.kind == Kind::kMul ? ChainOp::kMultiply
                 : side == 0            ? ChainOp::kSubtract
                                        : ChainOp::kSubtractFrom;
      return true;
    }
    return false;
  }

  Path path_back(int id) const {
    Path path;
    path.tensors.push_back(id);
    size_t before = plan_.nodes.size();
    for (;;) {
      const size_t made_by = producer(id);
      ChainOp op;
      if (made_by >= before || taken_[made_by] || path.nodes.size() == kMostOperations) return path;
      if (!as_operation(node(made_by), &id, &op)) return path;
      before = made_by;
      path.tensors.push_back(id);
      path.nodes.push_back(made_by);
      path.ops.push_back(op);
    }
  }

  // Looks for the tensor furthest back of which everything that a LceQuantize reads is a comparison.
  void fuse_comparison(size_t quantize) {
    const int read = node(quantize).inputs[0];
    if (tensor(read).type != kTfLiteFloat32) return;
    Path behind = path_back(read);  // between a concatenation and the LceQuantize
    std::vector<Path> copies;
    size_t concat = producer(behind.tensors.back());
    if (concat != kNone && node(concat).kind == Kind::kConcat && !taken_[concat]) {
      if (node(concat).inputs.size() > kMostCopies) return;
      for (int id : node(concat).inputs) copies.push_back(path_back(id));
    } else {
      concat = kNone;
      copies.push_back(std::move(behind));
      behind = Path();
    }
    for (size_t i = copies[0].tensors.size(); i-- > 0;) {
      if (try_comparison(quantize, concat, behind, copies, copies[0].tensors[i])) return;
    }
  }

  bool try_comparison(size_t quantize, size_t concat, const Path& behind, const std::vector<Path>& copies, int source) {
    std::set<size_t> nodes(behind.nodes.begin(), behind.nodes.end());
    nodes.insert(quantize);
    if (concat != kNone) nodes.insert(concat);
    size_t pool = kNone;
    Comparison comparison;
    comparison.channels = channels_of(tensor(source));
    const int64_t all_channels = int64_t{comparison.channels} * static_cast<int64_t>(copies.size());
    if (all_channels <= 0 || all_channels > kMostWork || channels_of(tensor(node(quantize).inputs[0])) != all_channels) return false;
    for (const Path& path : copies) {
      const auto end = std::find(path.tensors.begin(), path.tensors.end(), source);
      if (end == path.tensors.end()) return false;
      if (!std::all_of(path.tensors.begin(), end, [&](int id) { return channels_of(tensor(id)) == comparison.channels; })) return false;
      Chain chain;
      bool pooled = false;
      for (size_t i = static_cast<size_t>(end - path.tensors.begin()); i-- > 0;) {
        nodes.insert(path.nodes[i]);
        if (node(path.nodes[i]).kind == Kind::kMaxPool) {
          // One pool for all copies; what comes before it is then the same for all too.
          if (pooled || (pool != kNone && pool != path.nodes[i])) return false;
          pooled = true;
          pool = path.nodes[i];
          comparison.before = std::move(chain);
          chain = Chain();
        }
        chain.push_back(path.ops[i]);
      }
      if (pooled != (pool != kNone)) return false;
      comparison.copies.push_back(std::move(chain));
    }
    if (!append_behind(behind, &comparison)) return false;
    comparison.pooled = pool != kNone;

    Step step;
    step.output = node(quantize).outputs[0];
    for (size_t i : nodes) {
      if (i != quantize && !inside(node(i).outputs[0], nodes)) return false;
    }
    if (comparison.copies.size() > 1 && comparison.channels % 8 != 0 && !only_convs_read(step.output, static_cast<int32_t>(all_channels))) return false;
    int64_t work = 0;
    for (const Chain& chain : comparison.copies) work += comparison.channels * static_cast<int64_t>(1 + comparison.before.size() + chain.size());
    if (work > work_left_) return false;
    work_left_ -= work;
    const size_t conv = producer(source);
    if (is_float_conv(conv) && !taken_[conv] && inside(source, nodes) && conv_compares(conv, comparison, &step)) {
      step.pool = pool;
      step.main = conv;
      step.input = node(conv).inputs[0];
      nodes.insert(conv);
    } else if (nodes.size() > 1 && threshold_quantize(comparison, &step.threshold)) {
      step.type = Step::kCompare;
      step.main = quantize;
      step.input = source;
    } else {
      return false;
    }
    add(std::move(step), nodes);
    return true;
  }

  // Operations behind the concatenation, each copy taking its part of the constants.
  bool append_behind(const Path& behind, Comparison* comparison) const {
    for (size_t i = behind.nodes.size(); i-- > 0;) {
      if (node(behind.nodes[i]).kind == Kind::kMaxPool) return false;
      for (size_t k = 0; k < comparison->copies.size(); ++k) {
        ChainOp op = behind.ops[i];
        if (op.per_channel) op.values += k * static_cast<size_t>(comparison->channels);
        comparison->copies[k].push_back(op);
      }
    }
    return true;
  }

  bool is_float_conv(size_t i) const {
    return i != kNone && node(i).kind == Kind::kConv && tensor(node(i).outputs[0]).type == kTfLiteFloat32;
  }

  bool conv_compares(size_t i, const Comparison& comparison, Step* step) const {
    const Node& conv = node(i);
    constexpr int64_t kMost = 1 << 24;  // integers that a float holds
    const int64_t pixels = int64_t{conv.window.height} * conv.window.width;
    const int64_t channels = conv.channels_in / conv.groups;
    if (conv.channels_out != comparison.channels || pixels > kMost || channels > kMost || pixels * channels > kMost) return false;
    ConvOutput output;
    output.depth = static_cast<int32_t>(pixels * channels);
    output.activation = conv.activation;
    output.multiplier = static_cast<const float*>(tensor(conv.inputs[2]).data);
    output.bias = static_cast<const float*>(tensor(conv.inputs[3]).data);
    CompareStage stage;
    if (!compare_stage(output, comparison, &stage)) return false;
    step->type = Step::kConv;
    step->compared = true;
    step->compare = std::move(stage);
    return true;
  }

  // Whether the order of channels in these bits is ours to choose: only convolutions read them, perhaps after pools.
  bool only_convs_read(int id, int32_t channels, int pools = 0) const {
    constexpr int kMostPools = 4;
    if (outputs_.count(id) || pools > kMostPools) return false;
    const auto found = readers_.find(id);
    if (found == readers_.end()) return true;
    return std::all_of(found->second.begin(), found->second.end(), [&](size_t i) {
      const Node& n = node(i);
      if (n.kind == Kind::kBitPool) return only_convs_read(n.outputs[0], channels, pools + 1);
      return n.kind == Kind::kConv && n.groups == 1 && n.inputs[0] == id && n.channels_in == channels;
    });
  }

  void fuse_residual(size_t add_node) {
    const Node& sum = node(add_node);
    for (int side : {0, 1}) {
      const int x = sum.inputs[side], other = sum.inputs[1 - side];
      const size_t conv = producer(x);
      if (x == other || !is_float_conv(conv) || taken_[conv] || sum.activation != Activation::kNone || is_constant(tensor(other))) continue;
      if (!inside(x, {add_node}) || dims_of(tensor(x)) != dims_of(tensor(other))) continue;
      Step step;
      step.type = Step::kConv;
      step.main = conv;
      step.input = node(conv).inputs[0];
      step.output = sum.outputs[0];
      step.residual = other;
      add(std::move(step), {conv, add_node});
      return;
    }
  }

  void add_single(size_t i) {
    Step step;
    switch (node(i).kind) {
      case Kind::kQuantize: step.type = Step::kQuantize; break;
      case Kind::kDequantize: step.type = Step::kDequantize; break;
      case Kind::kConv: step.type = Step::kConv; break;
      case Kind::kBitPool: step.type = Step::kBitPool; break;
      default:
        if (node(i).kind != Kind::kOther) plan_.left.push_back(i);
        return;
    }
    step.main = i;
    step.input = node(i).inputs[0];
    step.output = node(i).outputs[0];
    add(std::move(step), {i});
  }

  void add(Step step, const std::set<size_t>& nodes) {
    step.nodes.assign(nodes.begin(), nodes.end());
    for (size_t i : nodes) taken_[i] = true;
    plan_.steps.push_back(std::move(step));
  }

  TfLiteContext* context_;
  std::set<int> outputs_;
  Plan plan_;
  std::vector<bool> taken_;
  int64_t work_left_ = kMostWork;
  std::map<int, size_t> producer_;
  std::map<int, std::vector<size_t>> readers_;
};

}  // namespace

Plan make_plan(TfLiteContext* context, std::vector<Node> nodes, const std::vector<int>& outputs) {
  return Planner(context, std::move(nodes), outputs).make();
}

}  // namespace bduo
