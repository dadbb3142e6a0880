// Fusion: which operators are run together in one pass over the data, and which are better left to the host.
#include "graph/fusion.h"

#include <algorithm>
#include <limits>
#include <map>
#include <set>

#include "file_limits.h"
#include "graph/ops/compare.h"
#include "graph/tensors.h"

namespace bduo {
namespace {

constexpr size_t kNone = std::numeric_limits<size_t>::max();

class Fuser {
 public:
  Fuser(TfLiteContext* context, std::vector<Node> nodes, const std::vector<int>& outputs)
      : context_(context), outputs_(outputs.begin(), outputs.end()) {
    graph_.nodes = std::move(nodes);
    taken_.assign(graph_.nodes.size(), false);
    search_left_ = limits::kMostSearchPerOperator * static_cast<int64_t>(graph_.nodes.size());
    for (size_t i = 0; i < graph_.nodes.size(); ++i) {
      for (int id : node(i).outputs) producer_[id] = i;
      for (int id : node(i).inputs) readers_[id].push_back(i);
    }
  }

  FusedGraph fuse() {
    for (size_t i = 0; i < graph_.nodes.size(); ++i) {
      if (op(i) && op(i)->compares_with_zero()) fuse_comparison(i);
    }
    for (size_t i = 0; i < graph_.nodes.size(); ++i) {
      if (!taken_[i] && op(i) && op(i)->is_sum()) fuse_sum(i);
    }
    for (size_t i = 0; i < graph_.nodes.size(); ++i) {
      if (!taken_[i] && op(i)) keep(i);
    }
    std::sort(graph_.steps.begin(), graph_.steps.end(), [](const Step& a, const Step& b) { return a.nodes.back() < b.nodes.back(); });
    return std::move(graph_);
  }

 private:
  // The way back from a tensor through operations of one input: tensors[0] is where it begins, nodes[i] makes
  // tensors[i] from tensors[i + 1] by operations[i].
  struct Path {
    std::vector<int> tensors;
    std::vector<size_t> nodes;
    std::vector<ChannelOperation> operations;
  };

  // What a LceQuantize reads, followed back: the copies that a concatenation joins, or the one tensor, and what lies
  // behind the concatenation.
  struct Search {
    size_t quantize = kNone, concatenation = kNone;
    Path behind;
    std::vector<Path> copies;
  };

  // All that lies between a tensor and a LceQuantize, found to be a comparison channel by channel.
  struct Found {
    Comparison comparison;
    std::set<size_t> nodes;
    std::optional<SlidingWindow> pool;
  };

  const Node& node(size_t i) const { return graph_.nodes[i]; }
  const Operator* op(size_t i) const { return graph_.nodes[i].op.get(); }
  const TfLiteTensor& tensor(int id) const { return tensor_of(context_, id); }
  bool is_max_pool(size_t i) const { return op(i)->max_pool().has_value(); }

  size_t producer(int id) const {
    const auto found = producer_.find(id);
    return found == producer_.end() ? kNone : found->second;
  }

  // The operator that makes a tensor, unless it is a part of a step already.
  const Operator* free_producer(int id) const {
    const size_t i = producer(id);
    return i == kNone || taken_[i] ? nullptr : op(i);
  }

  // Takes so many steps of the search from what is left for this graph; false once nothing is.
  bool may_search(size_t steps) {
    search_left_ -= static_cast<int64_t>(steps);
    return search_left_ > 0;
  }

  // Whether a tensor is read by these nodes only.
  bool inside(int id, const std::set<size_t>& nodes) {
    if (outputs_.count(id)) return false;
    const auto found = readers_.find(id);
    return found == readers_.end() || (may_search(found->second.size()) &&
                                       std::all_of(found->second.begin(), found->second.end(), [&](size_t i) { return nodes.count(i); }));
  }

  Path path_back(int id) const {
    Path path;
    path.tensors.push_back(id);
    size_t before = graph_.nodes.size();
    for (;;) {
      const size_t made_by = producer(id);
      if (made_by >= before || taken_[made_by] || !op(made_by) || path.nodes.size() == limits::kMostChainedOperators) {
        return path;
      }
      const std::optional<ChannelFunction> function = op(made_by)->channel_function();
      if (!function) return path;
      before = made_by;
      id = function->input;
      path.tensors.push_back(id);
      path.nodes.push_back(made_by);
      path.operations.push_back(function->operation);
    }
  }

  // Looks for the tensor furthest back of which everything that a LceQuantize reads is a comparison.
  void fuse_comparison(size_t quantize) {
    Search search;
    search.quantize = quantize;
    search.behind = path_back(node(quantize).inputs[0]);
    const Operator* joins = free_producer(search.behind.tensors.back());
    if (joins && joins->concatenates_channels()) {
      search.concatenation = producer(search.behind.tensors.back());
      const std::vector<int>& joined = node(search.concatenation).inputs;
      if (joined.size() > limits::kMostConcatenated) return;
      for (int id : joined) search.copies.push_back(path_back(id));
    } else {
      search.copies.push_back(std::move(search.behind));
      search.behind = Path();
    }
    size_t length = search.behind.nodes.size();  // of all paths, which each attempt below goes along
    for (const Path& path : search.copies) length += path.tensors.size();
    const std::vector<int>& sources = search.copies[0].tensors;
    for (size_t i = sources.size(); i-- > 0;) {
      if (!may_search(length) || fuse_comparison_of(sources[i], search)) return;
    }
  }

  bool fuse_comparison_of(int source, const Search& search) {
    Found found;
    if (!compare(source, search, &found)) return false;
    Comparison& comparison = found.comparison;
    Step step;
    step.output = node(search.quantize).outputs[0];
    for (size_t i : found.nodes) {
      if (i != search.quantize && !inside(node(i).outputs[0], found.nodes)) return false;
    }
    if (comparison.copies.size() > 1 && comparison.channels % 8 != 0 && !only_convs_read(step.output, all_channels(comparison))) {
      return false;
    }
    int64_t work = 0;
    for (const Chain& chain : comparison.copies) {
      work += comparison.channels * static_cast<int64_t>(1 + comparison.before.size() + chain.size());
    }
    if (work > work_left_) return false;
    work_left_ -= work;

    const Operator* conv = inside(source, found.nodes) ? free_producer(source) : nullptr;
    if (conv && (step.op = conv->compared(context_, comparison, found.pool))) {
      step.main = producer(source);
      step.inputs = {node(step.main).inputs[0]};
      found.nodes.insert(step.main);
    } else if (found.nodes.size() > 1 && (step.op = make_compare(comparison))) {
      step.main = search.quantize;
      step.inputs = {source};
    } else {
      return false;
    }
    add(std::move(step), found.nodes);
    return true;
  }

  static int32_t all_channels(const Comparison& comparison) { return comparison.channels * static_cast<int32_t>(comparison.copies.size()); }

  // The comparison of `source` that the paths of a search say, false if they do not say one.
  bool compare(int source, const Search& search, Found* found) const {
    found->nodes.insert(search.behind.nodes.begin(), search.behind.nodes.end());
    found->nodes.insert(search.quantize);
    if (search.concatenation != kNone) found->nodes.insert(search.concatenation);
    Comparison& comparison = found->comparison;
    comparison.channels = channels_of(tensor(source));
    const int64_t channels = int64_t{comparison.channels} * static_cast<int64_t>(search.copies.size());
    if (channels <= 0 || channels > limits::kMostThresholdWork || channels_of(tensor(node(search.quantize).inputs[0])) != channels) {
      return false;
    }
    size_t pool = kNone;
    for (const Path& path : search.copies) {
      const auto end = std::find(path.tensors.begin(), path.tensors.end(), source);
      if (end == path.tensors.end()) return false;
      if (!std::all_of(path.tensors.begin(), end, [&](int id) { return channels_of(tensor(id)) == comparison.channels; })) {
        return false;
      }
      Chain chain;
      bool pooled = false;
      for (size_t i = static_cast<size_t>(end - path.tensors.begin()); i-- > 0;) {
        found->nodes.insert(path.nodes[i]);
        if (is_max_pool(path.nodes[i])) {
          // There is one pool for all copies, so that what comes before it is the same for all too.
          if (pooled || (pool != kNone && pool != path.nodes[i])) return false;
          pooled = true;
          pool = path.nodes[i];
          comparison.before = std::move(chain);
          chain = Chain();
        }
        chain.push_back(path.operations[i]);
      }
      if (comparison.copies.empty()) comparison.pooled = pooled;
      if (pooled != comparison.pooled) return false;  // The pool is before all copies or before none.
      comparison.copies.push_back(std::move(chain));
    }
    if (comparison.pooled) found->pool = op(pool)->max_pool();
    return append(search.behind, &comparison);
  }

  // Operations behind the concatenation, each copy taking its part of the constants.
  bool append(const Path& behind, Comparison* comparison) const {
    for (size_t i = behind.nodes.size(); i-- > 0;) {
      if (is_max_pool(behind.nodes[i])) return false;
      for (size_t k = 0; k < comparison->copies.size(); ++k) {
        ChannelOperation operation = behind.operations[i];
        if (operation.per_channel) operation.values += k * static_cast<size_t>(comparison->channels);
        comparison->copies[k].push_back(operation);
      }
    }
    return true;
  }

  // Whether the order of channels in these bits is ours to choose: only convolutions read them, perhaps after pools.
  bool only_convs_read(int bits, int32_t channels) {
    std::vector<int> tensors{bits};
    std::set<int> known{bits};  // several pools may write one tensor in a damaged file
    while (!tensors.empty()) {
      const int id = tensors.back();
      tensors.pop_back();
      if (outputs_.count(id)) return false;
      const auto found = readers_.find(id);
      if (found == readers_.end()) continue;
      if (!may_search(found->second.size())) return false;
      for (size_t i : found->second) {
        if (!op(i) || node(i).inputs[0] != id) return false;
        if (op(i)->keeps_layout()) {
          if (known.insert(node(i).outputs[0]).second) tensors.push_back(node(i).outputs[0]);
        } else if (!op(i)->reads_any_layout(channels)) {
          return false;
        }
      }
    }
    return true;
  }

  void fuse_sum(size_t sum) {
    for (size_t side : {0, 1}) {
      const int x = node(sum).inputs[side], other = node(sum).inputs[1 - side];
      const Operator* conv = free_producer(x);
      if (x == other || !conv || is_constant(tensor(other)) || !inside(x, {sum}) || dims_of(tensor(x)) != dims_of(tensor(other))) {
        continue;
      }
      Step step;
      step.op = conv->with_sum();
      if (!step.op) continue;
      step.main = producer(x);
      step.inputs = {node(step.main).inputs[0], other};
      step.output = node(sum).outputs[0];
      step.overwritable = other;
      const std::set<size_t> nodes{step.main, sum};
      add(std::move(step), nodes);
      return;
    }
  }

  void keep(size_t i) {
    if (!op(i)->runs_alone()) {
      graph_.left.push_back(i);
      return;
    }
    Step step;
    step.main = i;
    step.op = node(i).op;
    step.inputs = {node(i).inputs[0]};
    step.output = node(i).outputs[0];
    add(std::move(step), {i});
  }

  void add(Step step, const std::set<size_t>& nodes) {
    step.nodes.assign(nodes.begin(), nodes.end());
    for (size_t i : nodes) taken_[i] = true;
    graph_.steps.push_back(std::move(step));
  }

  TfLiteContext* context_;
  std::set<int> outputs_;
  FusedGraph graph_;
  std::vector<bool> taken_;
  int64_t search_left_ = 0;
  int64_t work_left_ = limits::kMostThresholdWork;
  std::map<int, size_t> producer_;
  std::map<int, std::vector<size_t>> readers_;
};

}  // namespace

FusedGraph fuse(TfLiteContext* context, std::vector<Node> nodes, const std::vector<int>& outputs) {
  return Fuser(context, std::move(nodes), outputs).fuse();
}

}  // namespace bduo
