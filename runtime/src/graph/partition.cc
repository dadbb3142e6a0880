// A part of the host's graph that this library runs as one node: fused, prepared for one set of shapes, and run. What
// an operator is stands in ops/; here is when it is prepared and run, and where its tensors are.
#include "graph/partition.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <set>

namespace bduo {

Status Partition::create(TfLiteContext* context, const TfLiteDelegateParams& params, std::shared_ptr<ThreadPool> pool, bool profile,
                         std::unique_ptr<Partition>* result) {
  std::vector<Node> nodes(static_cast<size_t>(params.nodes_to_replace->size));
  for (size_t i = 0; i < nodes.size(); ++i) {
    if (Status status = read_node(context, params.nodes_to_replace->data[i], &nodes[i]); !status.ok()) return status;
  }
  auto partition = std::make_unique<Partition>();
  partition->pool_ = std::move(pool);
  partition->profile_ = profile;
  auto is_variable = [&](int id) { return id >= 0 && !is_constant(tensor_of(context, id)); };
  std::copy_if(params.input_tensors->data, params.input_tensors->data + params.input_tensors->size, std::back_inserter(partition->inputs_),
               is_variable);
  partition->outputs_.assign(params.output_tensors->data, params.output_tensors->data + params.output_tensors->size);

  std::set<int> known(partition->inputs_.begin(), partition->inputs_.end());
  for (const Node& node : nodes) {
    for (int id : node.inputs) {
      if (is_variable(id) && !known.count(id)) {
        return Status::error(std::string(node.name) + " reads a tensor before it is written");
      }
    }
    for (int id : node.outputs) {
      if (!known.insert(id).second) {
        return Status::error(std::string(node.name) + " writes a tensor for the second time");
      }
    }
  }
  partition->graph_ = fuse(context, std::move(nodes), partition->outputs_);
  if (!partition->graph_.left.empty() || partition->graph_.steps.empty()) {
    return Status::error("these operators cannot be run as one node");
  }
  *result = std::move(partition);
  return {};
}

bool Partition::is_host(int id) const {
  return std::find(inputs_.begin(), inputs_.end(), id) != inputs_.end() ||
         std::find(outputs_.begin(), outputs_.end(), id) != outputs_.end();
}

std::vector<std::vector<int32_t>> Partition::input_dims(TfLiteContext* context) const {
  std::vector<std::vector<int32_t>> dims;
  for (int id : inputs_) dims.push_back(dims_of(tensor_of(context, id)));
  return dims;
}

TensorShape Partition::shape_of(TfLiteContext* context, int id) const {
  const auto found = shapes_.find(id);
  return found == shapes_.end() ? TensorShape{dims_of(tensor_of(context, id)), {}} : found->second;
}

Status Partition::prepare(TfLiteContext* context) {
  if (std::any_of(inputs_.begin(), inputs_.end(), [&](int id) { return tensor_of(context, id).allocation_type == kTfLiteDynamic; })) {
    // Their shapes are known only when running; so then are those of the outputs.
    ready_ = false;
    for (int id : outputs_) {
      TfLiteTensor& tensor = context->tensors[id];
      if (tensor.allocation_type == kTfLiteDynamic) continue;
      tensor.allocation_type = kTfLiteDynamic;
      tensor.data = nullptr;
    }
    return {};
  }
  return prepare_steps(context);
}

Status Partition::prepare_steps(TfLiteContext* context) {
  auto dims = input_dims(context);
  if (!ready_ || dims != prepared_for_) {
    ready_ = false;
    shapes_.clear();
    prepared_.clear();
    runs_ = 0;
    prepared_.resize(graph_.steps.size());
    for (size_t i = 0; i < graph_.steps.size(); ++i) {
      const Status status = prepare_step(context, graph_.steps[i], &prepared_[i]);
      if (status.ok()) continue;
      const Node& node = graph_.nodes[graph_.steps[i].main];
      return Status::error(std::string(node.name) + " (operator " + std::to_string(node.index) + "): " + status.text());
    }
    if (Status status = place_tensors(context); !status.ok()) return status;
    prepared_for_ = std::move(dims);
    ready_ = true;
  }
  return resize_outputs(context);
}

Status Partition::resize_outputs(TfLiteContext* context) {
  for (int id : outputs_) {
    const std::vector<int32_t>& dims = shapes_[id].dims;
    // The host frees it, with free().
    auto* size = static_cast<TfLiteIntArray*>(std::malloc(sizeof(TfLiteIntArray) + dims.size() * sizeof(int)));
    if (!size) return Status::error("there is not enough memory");
    size->size = static_cast<int>(dims.size());
    std::copy(dims.begin(), dims.end(), size->data);
    if (context->ResizeTensor(context, &context->tensors[id], size) != kTfLiteOk) {
      return Status::error("the host cannot give an output its shape");
    }
  }
  return {};
}

Status Partition::prepare_step(TfLiteContext* context, const Step& step, PreparedStep* prepared) {
  Preparation preparation{context, {}, step.output, pool_->threads()};
  for (int id : step.inputs) preparation.inputs.push_back(shape_of(context, id));
  if (!bytes_of(preparation.inputs[0].dims, kTfLiteInt8)) return Status::error("its input has an impossible shape");
  if (Status status = step.op->prepare(preparation, &prepared->op); !status.ok()) return status;

  prepared->inputs.resize(step.inputs.size());
  for (size_t i = 0; i < step.inputs.size(); ++i) {
    const std::optional<int64_t> bytes = bytes_of(preparation.inputs[i].dims, tensor_of(context, step.inputs[i]).type);
    if (!bytes) return Status::error("its input has an impossible shape");
    prepared->inputs[i].bytes = *bytes;
  }
  const std::optional<int64_t> bytes = bytes_of(prepared->op->shape.dims, tensor_of(context, step.output).type);
  if (!bytes) return Status::error("its output has an impossible shape");
  prepared->output.bytes = *bytes;
  shapes_[step.output] = prepared->op->shape;
  return {};
}

Status Partition::place_tensors(TfLiteContext* context) {
  buffers_ = Buffers();
  std::map<int, size_t> last_read, buffer_of;
  for (size_t i = 0; i < graph_.steps.size(); ++i) {
    for (int id : graph_.steps[i].inputs) last_read[id] = i;
  }
  for (size_t i = 0; i < graph_.steps.size(); ++i) place_step(context, i, last_read, &buffer_of);
  return buffers_.allocate();
}

// last_read: the step that reads a tensor last. buffer_of: the buffers of tensors that later steps still read.
void Partition::place_step(TfLiteContext* context, size_t i, const std::map<int, size_t>& last_read, std::map<int, size_t>* buffer_of) {
  const Step& step = graph_.steps[i];
  PreparedStep& prepared = prepared_[i];
  auto place = [&](int id, Place* place) {
    if (is_host(id) || is_constant(tensor_of(context, id)))
      place->host = id;
    else
      place->buffer = (*buffer_of)[id];
  };
  auto ends = [&](int id) { return buffer_of->count(id) && last_read.at(id) == i; };
  for (size_t j = 0; j < step.inputs.size(); ++j) place(step.inputs[j], &prepared.inputs[j]);
  if (!is_host(step.output)) {
    const bool in_place = step.overwritable >= 0 && ends(step.overwritable);
    (*buffer_of)[step.output] = in_place ? (*buffer_of)[step.overwritable] : buffers_.take(prepared.output.bytes);
    if (in_place) buffer_of->erase(step.overwritable);
  }
  place(step.output, &prepared.output);
  for (int id : step.inputs) {
    if (!ends(id)) continue;
    buffers_.release((*buffer_of)[id]);
    buffer_of->erase(id);
  }
  if (buffer_of->count(step.output) && !last_read.count(step.output)) buffers_.release((*buffer_of)[step.output]);
}

Status Partition::locate(TfLiteContext* context, const Place& place, void** data) const {
  if (place.host < 0) {
    *data = buffers_.data(place.buffer);
    return {};
  }
  const TfLiteTensor& tensor = tensor_of(context, place.host);
  if (!tensor.data || tensor.bytes < static_cast<size_t>(place.bytes)) {
    return Status::error("a tensor of the host has no memory or too little");
  }
  *data = tensor.data;
  return {};
}

Status Partition::run(TfLiteContext* context) {
  if (!ready_ || input_dims(context) != prepared_for_) {
    if (Status status = prepare_steps(context); !status.ok()) return status;
  }
  for (PreparedStep& step : prepared_) {
    if (Status status = run_step(context, step); !status.ok()) return status;
  }
  ++runs_;
  return {};
}

Status Partition::run_step(TfLiteContext* context, PreparedStep& step) {
  void* inputs[Step::kMostInputs];
  void* output = nullptr;
  for (size_t i = 0; i < step.inputs.size(); ++i) {
    if (Status status = locate(context, step.inputs[i], &inputs[i]); !status.ok()) return status;
  }
  if (Status status = locate(context, step.output, &output); !status.ok()) return status;
  if (!profile_) {
    step.op->run(inputs, output, *pool_);
    return {};
  }
  const auto start = std::chrono::steady_clock::now();
  step.op->run(inputs, output, *pool_);
  step.nanoseconds += std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now() - start).count();
  return {};
}

std::string Partition::describe() const {
  auto list = [](const auto& values, const auto& write) {
    std::string text = "[";
    for (const auto& value : values) text += (text.size() > 1 ? ", " : "") + write(value);
    return text + "]";
  };
  auto number = [](int64_t value) { return std::to_string(value); };
  std::string text;
  for (size_t i = 0; i < prepared_.size(); ++i) {
    const Step& step = graph_.steps[i];
    const PreparedStep& prepared = prepared_[i];
    if (!prepared.op) break;  // It, and what follows it, could not be prepared.
    text += "{\"nodes\": " + list(step.nodes, [&](size_t n) { return number(graph_.nodes[n].index); });
    text += ", \"operators\": " + list(step.nodes, [&](size_t n) { return "\"" + std::string(graph_.nodes[n].name) + "\""; });
    text += ", \"kernel\": \"" + std::string(prepared.op->kernel) + "\"";
    text += ", \"output\": " + list(prepared.op->shape.dims, number) + ", \"macs\": " + number(prepared.op->macs);
    text += ", \"runs\": " + number(runs_) + ", \"nanoseconds\": " + number(prepared.nanoseconds) + "}\n";
  }
  return text;
}

}  // namespace bduo
