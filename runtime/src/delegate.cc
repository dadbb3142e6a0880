// The delegate: options, which operators it takes, and the two symbols by which a TFLite host finds it.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "abi/host.h"
#include "graph/fusion.h"
#include "graph/partition.h"
#include "kernels/cpu.h"
#include "status.h"

namespace bduo {
namespace {

struct Delegate {
  TfLiteDelegate host{};
  int threads = 0;                   // 0 stands for the number that the interpreter was given.
  std::string report;                // The file to append Partition::describe() to when a partition goes; its steps are timed then.
  std::shared_ptr<ThreadPool> pool;  // that of the interpreter whose partitions are being made
};

struct Kernel {
  std::unique_ptr<Partition> partition;
  std::string report;
};

// What the host is told: TFLite's code, and the text by its own way.
TfLiteStatus report(TfLiteContext* context, const Status& status) {
  if (status.ok()) return kTfLiteOk;
  if (context && context->ReportError) context->ReportError(context, "bduo_runtime: %s", status.text().c_str());
  return kTfLiteError;
}

void* init(TfLiteContext* context, const char* buffer, size_t) {
  const auto& params = *reinterpret_cast<const TfLiteDelegateParams*>(buffer);
  const auto& delegate = *static_cast<const Delegate*>(params.delegate->data_);
  std::unique_ptr<Partition> partition;
  const Status status = Partition::create(context, params, delegate.pool, !delegate.report.empty(), &partition);
  if (report(context, status) != kTfLiteOk) return nullptr;  // prepare() fails then.
  return new Kernel{std::move(partition), delegate.report};
}

void free(TfLiteContext*, void* buffer) {
  std::unique_ptr<Kernel> kernel(static_cast<Kernel*>(buffer));
  if (!kernel || kernel->report.empty()) return;
  if (std::FILE* file = std::fopen(kernel->report.c_str(), "a")) {
    std::fputs(kernel->partition->describe().c_str(), file);
    std::fclose(file);
  }
}

TfLiteStatus prepare(TfLiteContext* context, TfLiteNode* node) {
  if (!node->user_data) return kTfLiteError;
  return report(context, static_cast<Kernel*>(node->user_data)->partition->prepare(context));
}

TfLiteStatus invoke(TfLiteContext* context, TfLiteNode* node) {
  if (!node->user_data) return kTfLiteError;
  return report(context, static_cast<Kernel*>(node->user_data)->partition->run(context));
}

// A TfLiteIntArray that this library owns.
class IntArray {
 public:
  explicit IntArray(const std::set<int>& values) : storage_(values.size() + 1) {
    storage_[0] = static_cast<int>(values.size());
    size_t i = 1;
    for (int value : values) storage_[i++] = value;
  }
  const TfLiteIntArray* get() const { return reinterpret_cast<const TfLiteIntArray*>(storage_.data()); }

 private:
  std::vector<int> storage_;
};

// Takes from the chosen operators those that would not be fused in the partitions that the host would make of them.
// Says whether all are.
Status drop_unfused(TfLiteContext* context, const std::map<int, Node>& nodes, std::set<int>* chosen, bool* all_fused) {
  *all_fused = true;
  TfLiteDelegateParams* partitions = nullptr;
  int count = 0;
  if (context->PreviewDelegatePartitioning(context, IntArray(*chosen).get(), &partitions, &count) != kTfLiteOk) {
    return Status::error("the host cannot preview its partitions");
  }
  for (int i = 0; i < count; ++i) {
    std::vector<Node> part;
    for (int j = 0; j < partitions[i].nodes_to_replace->size; ++j) {
      const auto found = nodes.find(partitions[i].nodes_to_replace->data[j]);
      if (found == nodes.end()) return Status::error("the host previews an operator that it does not plan to run");
      part.push_back(found->second);
    }
    const TfLiteIntArray& outputs = *partitions[i].output_tensors;
    const FusedGraph graph = fuse(context, std::move(part), {outputs.data, outputs.data + outputs.size});
    for (size_t left : graph.left) {
      chosen->erase(graph.nodes[left].index);
      *all_fused = false;
    }
  }
  return {};
}

// The operators to take: first all that would be fused if they were one partition, then without those that are not
// fused in the partitions that the host would make of them, until it makes such that all are.
Status choose(TfLiteContext* context, std::set<int>* chosen) {
  TfLiteIntArray* order = nullptr;
  if (context->GetExecutionPlan(context, &order) != kTfLiteOk) return Status::error("the host has no execution plan");
  std::vector<Node> nodes(static_cast<size_t>(order->size));
  std::map<int, Node> by_index;
  for (size_t i = 0; i < nodes.size(); ++i) {
    if (Status status = read_node(context, order->data[i], &nodes[i]); !status.ok()) return status;
    by_index[nodes[i].index] = nodes[i];
  }
  const FusedGraph whole = fuse(context, std::move(nodes), {});
  for (const Step& step : whole.steps) {
    for (size_t i : step.nodes) chosen->insert(whole.nodes[i].index);
  }
  for (bool all_fused = false; !all_fused && !chosen->empty();) {
    if (Status status = drop_unfused(context, by_index, chosen, &all_fused); !status.ok()) return status;
  }
  return {};
}

TfLiteStatus apply(TfLiteContext* context, TfLiteDelegate* host) {
  auto& delegate = *static_cast<Delegate*>(host->data_);
  std::set<int> chosen;
  Status status = check_host(context);
  if (status.ok()) status = choose(context, &chosen);
  if (!status.ok()) return report(context, status);
  if (chosen.empty()) return kTfLiteOk;
  delegate.pool = std::make_shared<ThreadPool>(delegate.threads > 0 ? delegate.threads : context->recommended_num_threads);
  TfLiteRegistration registration{};
  registration.init = init;
  registration.free = free;
  registration.prepare = prepare;
  registration.invoke = invoke;
  registration.custom_name = "bduo_runtime";
  registration.version = 1;
  return context->ReplaceNodeSubsetsWithDelegateKernels(context, registration, IntArray(chosen).get(), host);
}

Status set_option(const char* key, const char* value, Delegate* delegate) {
  if (std::strcmp(key, "num_threads") == 0) {
    char* end = nullptr;
    const long threads = std::strtol(value, &end, 10);
    if (end == value || *end || threads < 1 || threads > 256) {
      return Status::error("num_threads must be a number from 1 to 256, not " + std::string(value));
    }
    delegate->threads = static_cast<int>(threads);
    return {};
  }
  if (std::strcmp(key, "report") == 0) {
    delegate->report = value;
    return {};
  }
  return Status::error("no option " + std::string(key) + "; there are num_threads and report");
}

}  // namespace
}  // namespace bduo

#if defined(_WIN32)
#define BDUO_EXPORT __declspec(dllexport)
#else
#define BDUO_EXPORT __attribute__((visibility("default")))
#endif

extern "C" BDUO_EXPORT TfLiteDelegate* tflite_plugin_create_delegate(const char* const* keys, const char* const* values, size_t count,
                                                                     void (*report_error)(const char*)) {
  auto delegate = std::make_unique<bduo::Delegate>();
  bduo::Status status = bduo::cpu_status();
  for (size_t i = 0; i < count && status.ok(); ++i) status = bduo::set_option(keys[i], values[i], delegate.get());
  if (!status.ok()) {
    if (report_error) report_error(("bduo_runtime: " + status.text()).c_str());
    return nullptr;
  }
  delegate->host.data_ = delegate.get();
  delegate->host.Prepare = bduo::apply;
  delegate->host.flags = kTfLiteDelegateFlagsAllowDynamicTensors;
  return &delegate.release()->host;
}

extern "C" BDUO_EXPORT void tflite_plugin_destroy_delegate(TfLiteDelegate* host) {
  if (host) delete static_cast<bduo::Delegate*>(host->data_);
}
