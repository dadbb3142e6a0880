// A small TFLite host: how a plan is cut into partitions for a delegate, and how these take the place of their nodes.
#include <algorithm>

#include "host.h"
#include "int_array.h"

namespace bduo::fuzz {

Host::Params::Params(TfLiteDelegate* delegate, const Subset& subset)
    : value{delegate, new_array(subset.nodes), new_array(subset.inputs), new_array(subset.outputs)} {}

Host::Params::~Params() {
  std::free(value.nodes_to_replace);
  std::free(value.input_tensors);
  std::free(value.output_tensors);
}

size_t Host::partitions() const { return params_.size(); }

// A delegate may look at the graph only while it is applied.
void Host::allow_delegating(bool allowed) {
  using Context = TfLiteContext*;
  context_.GetExecutionPlan = [](Context, TfLiteIntArray**) { return kTfLiteError; };
  context_.GetNodeAndRegistration = [](Context, int, TfLiteNode**, TfLiteRegistration**) { return kTfLiteError; };
  context_.ReplaceNodeSubsetsWithDelegateKernels = [](Context, TfLiteRegistration, const TfLiteIntArray*, TfLiteDelegate*) {
    return kTfLiteError;
  };
  context_.PreviewDelegatePartitioning = [](Context, const TfLiteIntArray*, TfLiteDelegateParams**, int*) { return kTfLiteError; };
  if (!allowed) return;
  context_.GetExecutionPlan = [](Context context, TfLiteIntArray** plan) {
    Host& host = of(context);
    std::free(host.plan_array_);
    *plan = host.plan_array_ = new_array(host.plan_);
    return kTfLiteOk;
  };
  context_.GetNodeAndRegistration = [](Context context, int index, TfLiteNode** node, TfLiteRegistration** registration) {
    Host& host = of(context);
    if (index < 0 || static_cast<size_t>(index) >= host.nodes_.size()) return kTfLiteError;
    *node = &host.nodes_[static_cast<size_t>(index)].node;
    *registration = &host.nodes_[static_cast<size_t>(index)].registration;
    return kTfLiteOk;
  };
  context_.ReplaceNodeSubsetsWithDelegateKernels = [](Context context, TfLiteRegistration registration, const TfLiteIntArray* nodes,
                                                      TfLiteDelegate* delegate) {
    return of(context).replace(registration, *nodes, delegate);
  };
  context_.PreviewDelegatePartitioning = [](Context context, const TfLiteIntArray* nodes, TfLiteDelegateParams** partitions, int* count) {
    return of(context).preview(*nodes, partitions, count);
  };
}

bool Host::apply(TfLiteDelegate* delegate) {
  allow_delegating(true);
  const bool applied = delegate->Prepare(&context_, delegate) == kTfLiteOk;
  allow_delegating(false);
  preview_.clear();
  return applied;
}

// Every subset takes all nodes of its kind whose inputs are there, again and again, until there are no more; then the
// next one begins. Nodes that never get their inputs fall out of the plan.
bool Host::partition(const TfLiteIntArray& replaced, std::vector<Subset>* subsets) const {
  constexpr int kThere = -1, kMissing = -2;
  std::vector<int> made_in(tensors_.size(), kThere);  // the subset that makes each tensor
  std::vector<bool> done(plan_.size(), false);
  auto each = [](const TfLiteIntArray& ids, const auto& visit) {
    for (int i = 0; i < ids.size; ++i) {
      if (ids.data[i] >= 0) visit(ids.data[i]);
    }
  };
  auto node_at = [&](size_t i) -> const TfLiteNode& { return nodes_[static_cast<size_t>(plan_[i])].node; };
  for (size_t i = 0; i < plan_.size(); ++i) {
    each(*node_at(i).outputs, [&](int id) { made_in[static_cast<size_t>(id)] = kMissing; });
  }
  for (;;) {
    const int current = static_cast<int>(subsets->size());
    subsets->emplace_back();
    for (bool more = true; more;) {
      more = false;
      for (size_t i = 0; i < plan_.size(); ++i) {
        if (done[i]) continue;
        bool ready = true;
        each(*node_at(i).inputs, [&](int id) { ready = ready && made_in[static_cast<size_t>(id)] != kMissing; });
        if (!ready) continue;
        Subset& subset = subsets->back();
        const bool kind = std::find(replaced.data, replaced.data + replaced.size, plan_[i]) != replaced.data + replaced.size;
        if (subset.nodes.empty()) subset.replaced = kind;
        if (subset.replaced != kind) continue;
        done[i] = more = true;
        subset.nodes.push_back(plan_[i]);
        each(*node_at(i).outputs, [&](int id) { made_in[static_cast<size_t>(id)] = current; });
        each(*node_at(i).inputs, [&](int id) {
          const int from = made_in[static_cast<size_t>(id)];
          if (from == current) return;
          subset.inputs.push_back(id);
          if (from >= 0) (*subsets)[static_cast<size_t>(from)].outputs.push_back(id);
        });
      }
    }
    if (!subsets->back().nodes.empty()) continue;
    subsets->pop_back();
    break;
  }
  for (int id : model_.outputs) {
    const int from = made_in[static_cast<size_t>(id)];
    if (from == kMissing) return false;
    if (from >= 0) (*subsets)[static_cast<size_t>(from)].outputs.push_back(id);
  }
  for (Subset& subset : *subsets) {
    for (std::vector<int>* ids : {&subset.inputs, &subset.outputs}) {
      std::sort(ids->begin(), ids->end());
      ids->erase(std::unique(ids->begin(), ids->end()), ids->end());
    }
  }
  return true;
}

TfLiteStatus Host::preview(const TfLiteIntArray& replaced, TfLiteDelegateParams** partitions, int* count) {
  preview_.clear();
  preview_list_.clear();
  std::vector<Subset> subsets;
  if (!partition(replaced, &subsets)) return kTfLiteError;
  for (const Subset& subset : subsets) {
    if (!subset.replaced) continue;
    preview_.push_back(std::make_unique<Params>(nullptr, subset));
    preview_list_.push_back(preview_.back()->value);
  }
  *partitions = preview_list_.data();
  *count = static_cast<int>(preview_list_.size());
  return kTfLiteOk;
}

TfLiteStatus Host::replace(const TfLiteRegistration& registration, const TfLiteIntArray& replaced, TfLiteDelegate* delegate) {
  std::vector<Subset> subsets;
  if (!partition(replaced, &subsets)) return kTfLiteError;
  plan_.clear();
  for (const Subset& subset : subsets) {
    if (!subset.replaced) {
      plan_.insert(plan_.end(), subset.nodes.begin(), subset.nodes.end());
      continue;
    }
    for (int id : subset.outputs) {
      if (std::binary_search(subset.inputs.begin(), subset.inputs.end(), id)) return kTfLiteError;
    }
    params_.push_back(std::make_unique<Params>(delegate, subset));
    TfLiteDelegateParams& params = params_.back()->value;
    nodes_.emplace_back();
    Entry entry;
    entry.registration = registration;
    entry.node.inputs = new_array(subset.inputs);
    entry.node.outputs = new_array(subset.outputs);
    entry.node.intermediates = new_array({});
    entry.node.temporaries = new_array({});
    entry.node.builtin_data = &params;
    entry.node.delegate = delegate;
    entry.node.user_data = registration.init(&context_, reinterpret_cast<const char*>(&params), 0);
    nodes_.back() = entry;
    plan_.push_back(static_cast<int>(nodes_.size()) - 1);
    for (int id : subset.outputs) tensors_[static_cast<size_t>(id)].delegate = delegate;
  }
  return kTfLiteOk;
}

}  // namespace bduo::fuzz
