// A part of the host's graph that this library runs as one node: its plan, prepared for one set of shapes, and run.
#include "graph/partition.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <set>

namespace bduo {
namespace {

std::string slide_over(const Window& options, bool same, int32_t height, int32_t width, Window* window, int32_t* out_height, int32_t* out_width) {
  *window = options;
  Status status = slide(height, options.height, options.stride_height, options.dilation_height, same, out_height, &window->pad_top);
  if (status.ok()) status = slide(width, options.width, options.stride_width, options.dilation_width, same, out_width, &window->pad_left);
  return status.text();
}

std::string pool_over(const Node& node, const std::vector<int32_t>& dims, PoolShape* pool) {
  pool->batch = dims[0];
  pool->input_height = dims[1];
  pool->input_width = dims[2];
  std::string error = slide_over(node.window, node.same, dims[1], dims[2], &pool->window, &pool->output_height, &pool->output_width);
  return error.empty() ? pool->validate().text() : error;
}

// Dimensions that count_rows() has passed.
int64_t elements(const std::vector<int32_t>& dims) {
  int64_t product = 1;
  for (int32_t d : dims) product *= d;
  return product;
}

}  // namespace

std::unique_ptr<Partition> Partition::create(TfLiteContext* context, const TfLiteDelegateParams& params, std::shared_ptr<ThreadPool> pool,
                                             bool profile, std::string* error) {
  std::vector<Node> nodes;
  for (int i = 0; i < params.nodes_to_replace->size; ++i) {
    nodes.push_back(read_node(context, params.nodes_to_replace->data[i], error));
    if (!error->empty()) return nullptr;
  }
  auto partition = std::make_unique<Partition>();
  partition->pool_ = std::move(pool);
  partition->profile_ = profile;
  auto is_variable = [&](int id) { return id >= 0 && !is_constant(tensor_of(context, id)); };
  std::copy_if(params.input_tensors->data, params.input_tensors->data + params.input_tensors->size, std::back_inserter(partition->inputs_), is_variable);
  partition->outputs_.assign(params.output_tensors->data, params.output_tensors->data + params.output_tensors->size);

  std::set<int> known(partition->inputs_.begin(), partition->inputs_.end());
  for (const Node& node : nodes) {
    for (int id : node.inputs) {
      if (is_variable(id) && !known.count(id)) *error = std::string(kind_name(node.kind)) + " reads a tensor before it is written";
    }
    for (int id : node.outputs) {
      if (!known.insert(id).second) *error = std::string(kind_name(node.kind)) + " writes a tensor for the second time";
    }
  }
  partition->plan_ = make_plan(context, std::move(nodes), partition->outputs_);
  if (!partition->plan_.left.empty() || partition->plan_.steps.empty()) *error = "these operators cannot be run as one node";
  return error->empty() ? std::move(partition) : nullptr;
}

bool Partition::is_host(int id) const {
  return std::find(inputs_.begin(), inputs_.end(), id) != inputs_.end() || std::find(outputs_.begin(), outputs_.end(), id) != outputs_.end();
}

std::vector<std::vector<int32_t>> Partition::input_dims(TfLiteContext* context) const {
  std::vector<std::vector<int32_t>> dims;
  for (int id : inputs_) dims.push_back(dims_of(tensor_of(context, id)));
  return dims;
}

std::string Partition::prepare(TfLiteContext* context) {
  if (std::any_of(inputs_.begin(), inputs_.end(), [&](int id) { return tensor_of(context, id).allocation_type == kTfLiteDynamic; })) {
    // Their shapes are known only when running; so then are those of the outputs.
    ready_ = false;
    for (int id : outputs_) {
      TfLiteTensor& tensor = context->tensors[id];
      if (tensor.allocation_type == kTfLiteDynamic) continue;
      tensor.allocation_type = kTfLiteDynamic;
      tensor.data = nullptr;
    }
    return "";
  }
  return prepare_steps(context);
}

std::string Partition::prepare_steps(TfLiteContext* context) {
  auto shapes = input_dims(context);
  if (!ready_ || shapes != prepared_for_) {
    ready_ = false;
    dims_.clear();
    layouts_.clear();
    prepared_.clear();
    runs_ = 0;
    prepared_.resize(plan_.steps.size());
    for (size_t i = 0; i < plan_.steps.size(); ++i) {
      const std::string error = prepare_step(context, plan_.steps[i], &prepared_[i]);
      if (error.empty()) continue;
      const Node& node = plan_.nodes[plan_.steps[i].main];
      return std::string(kind_name(node.kind)) + " (operator " + std::to_string(node.index) + "): " + error;
    }
    const std::string error = place_tensors(context);
    if (!error.empty()) return error;
    prepared_for_ = std::move(shapes);
    ready_ = true;
  }
  for (int id : outputs_) {
    const auto& dims = dims_[id];
    // The host frees it, with free().
    auto* size = static_cast<TfLiteIntArray*>(std::malloc(sizeof(TfLiteIntArray) + dims.size() * sizeof(int)));
    if (!size) return "there is not enough memory";
    size->size = static_cast<int>(dims.size());
    std::copy(dims.begin(), dims.end(), size->data);
    if (context->ResizeTensor(context, &context->tensors[id], size) != kTfLiteOk) return "the host cannot give an output its shape";
  }
  return "";
}

std::string Partition::prepare_step(TfLiteContext* context, const Step& step, Prepared* prepared) {
  const auto found = dims_.find(step.input);
  const std::vector<int32_t> input = found == dims_.end() ? dims_of(tensor_of(context, step.input)) : found->second;
  if (!count_rows(input, &prepared->rows) || elements(input) == 0) return "its input has an impossible shape";
  const TfLiteTensor& from = tensor_of(context, step.input);
  const TfLiteTensor& to = tensor_of(context, step.output);
  const Node& node = plan_.nodes[step.main];
  std::vector<int32_t>& output = prepared->dims;
  output = input;
  auto size_of = [](int type) { return type == kTfLiteFloat32 || type == kTfLiteInt32 ? 4 : 1; };
  prepared->input.bytes = elements(input) * size_of(from.type);

  switch (step.type) {
    case Step::kConv: {
      if (input.size() != 4) return "its input does not have four dimensions";
      const std::string error = prepare_conv(context, step, prepared);
      if (!error.empty()) return error;
      break;
    }
    case Step::kBitPool: {
      if (input.size() != 4) return "its input does not have four dimensions";
      const std::string error = pool_over(node, input, &prepared->pool);
      if (!error.empty()) return error;
      prepared->channels = input[3];
      output[1] = prepared->pool.output_height;
      output[2] = prepared->pool.output_width;
      const auto layout = layouts_.find(step.input);
      if (layout != layouts_.end()) layouts_[step.output] = ChannelLayout(layout->second);
      break;
    }
    case Step::kQuantize:
      prepared->channels = input.back();
      output.back() = words_of(input.back());
      break;
    case Step::kDequantize:
      prepared->channels = channels_of(to);
      if (words_of(prepared->channels) != input.back()) return "its output does not have as many channels as its input";
      output.back() = prepared->channels;
      if (to.type == kTfLiteInt8) {
        const std::string error = int8_values(to.params.scale, to.params.zero_point, &prepared->one, &prepared->zero).text();
        if (!error.empty()) return error;
      }
      break;
    case Step::kCompare:
      if (input.back() != step.threshold.channels) return "its input has not as many channels as the constants compared with";
      layouts_[step.output] = ChannelLayout::copied(step.threshold.copies, step.threshold.channels);
      output.back() = layouts_[step.output].words;
      break;
  }
  int64_t rows = 0;
  if (!count_rows(output, &rows) || elements(output) == 0) return "its output has an impossible shape";
  prepared->output.bytes = elements(output) * size_of(to.type);
  dims_[step.output] = output;
  return "";
}

std::string Partition::prepare_conv(TfLiteContext* context, const Step& step, Prepared* prepared) {
  const Node& node = plan_.nodes[step.main];
  const std::vector<int32_t> input = prepared->dims;
  ConvShape shape;
  shape.batch = input[0];
  shape.input_height = input[1];
  shape.input_width = input[2];
  shape.channels_in = node.channels_in;
  shape.channels_out = node.channels_out;
  shape.groups = node.groups;
  shape.zero_padding = node.zero_padding;
  std::string error = slide_over(node.window, node.same, input[1], input[2], &shape.window, &shape.output_height, &shape.output_width);
  if (error.empty()) error = shape.validate().text();
  if (!error.empty()) return error;
  prepared->macs = shape.macs();
  std::vector<int32_t>& output = prepared->dims;
  output = {shape.batch, shape.output_height, shape.output_width, shape.channels_out};

  const auto found = layouts_.find(step.input);
  const ChannelLayout layout = found != layouts_.end() ? found->second : ChannelLayout::packed(node.channels_in);
  if (layout.channels() != node.channels_in || layout.words != input[3]) return "its input does not have as many channels as its filter";
  const TfLiteTensor& filter = tensor_of(context, node.inputs[1]);
  const auto* bits = static_cast<const int32_t*>(filter.data);
  const auto words = static_cast<int64_t>(filter.bytes / sizeof(int32_t));
  auto floats = [&](int i) {
    const auto* values = static_cast<const float*>(tensor_of(context, node.inputs[i]).data);
    return std::vector<float>(values, values + node.channels_out);
  };

  const TfLiteTensor& to = tensor_of(context, step.output);
  BinaryConv& conv = prepared->conv;
  if (step.compared || to.type == kTfLiteInt32) {
    CompareStage stage;
    if (step.compared) {
      stage = step.compare;
      if (stage.pooled) {
        error = pool_over(plan_.nodes[step.pool], output, &stage.pool);
        if (!error.empty()) return error;
        output[1] = stage.pool.output_height;
        output[2] = stage.pool.output_width;
      }
    } else {
      stage = CompareStage::from_lce_thresholds(shape, static_cast<const int32_t*>(tensor_of(context, node.inputs[4]).data));
    }
    error = conv.prepare(shape, layout, bits, words, stage, pool_->threads());
    if (!error.empty()) return error;
    layouts_[step.output] = conv.output_layout();
    output[3] = conv.output_layout().words;
  } else if (to.type == kTfLiteInt8) {
    Int8Stage stage;
    stage.activation = node.activation;
    stage.multiplier = floats(2);
    stage.bias = floats(3);
    stage.scale = to.params.scale;
    stage.zero_point = to.params.zero_point;
    error = conv.prepare(shape, layout, bits, words, stage, pool_->threads());
  } else {
    FloatStage stage;
    stage.activation = node.activation;
    stage.multiplier = floats(2);
    stage.bias = floats(3);
    error = conv.prepare(shape, layout, bits, words, stage, pool_->threads());
  }
  if (!error.empty()) return error;
  if (step.residual >= 0) {
    const auto other = dims_.find(step.residual);
    if ((other == dims_.end() ? dims_of(tensor_of(context, step.residual)) : other->second) != output) {
      return "what is added to its output has another shape";
    }
    prepared->residual.bytes = conv.output_bytes();
  }
  return prepared->input.bytes == conv.input_bytes() ? "" : "its input has another size than its shape says";
}

std::string Partition::place_tensors(TfLiteContext* context) {
  buffers_ = Buffers();
  std::map<int, size_t> last_read;
  for (size_t i = 0; i < plan_.steps.size(); ++i) {
    last_read[plan_.steps[i].input] = i;
    if (plan_.steps[i].residual >= 0) last_read[plan_.steps[i].residual] = i;
  }
  std::map<int, size_t> buffer_of;
  for (size_t i = 0; i < plan_.steps.size(); ++i) {
    const Step& step = plan_.steps[i];
    Prepared& prepared = prepared_[i];
    auto place = [&](int id, Place* place) {
      if (is_host(id) || is_constant(tensor_of(context, id))) place->host = id;
      else place->buffer = buffer_of[id];
    };
    auto ends = [&](int id) { return buffer_of.count(id) && last_read[id] == i; };
    place(step.input, &prepared.input);
    if (step.residual >= 0) place(step.residual, &prepared.residual);
    if (!is_host(step.output)) {
      // A sum takes the place of what was added, if nobody else needs that.
      const bool in_place = step.residual >= 0 && ends(step.residual);
      buffer_of[step.output] = in_place ? buffer_of[step.residual] : buffers_.take(prepared.output.bytes);
      if (in_place) buffer_of.erase(step.residual);
    }
    place(step.output, &prepared.output);
    for (int id : {step.input, step.residual}) {
      if (id >= 0 && ends(id)) {
        buffers_.release(buffer_of[id]);
        buffer_of.erase(id);
      }
    }
    if (buffer_of.count(step.output) && !last_read.count(step.output)) buffers_.release(buffer_of[step.output]);
  }
  return buffers_.allocate() ? "" : "there is not enough memory for " + std::to_string(buffers_.bytes()) + " bytes";
}

void* Partition::data(TfLiteContext* context, const Place& place) const {
  return place.host >= 0 ? tensor_of(context, place.host).data : buffers_.data(place.buffer);
}

bool Partition::check(TfLiteContext* context, const Place& place) const {
  if (place.host < 0) return true;
  const TfLiteTensor& tensor = tensor_of(context, place.host);
  return tensor.data && tensor.bytes >= static_cast<size_t>(place.bytes);
}

std::string Partition::run(TfLiteContext* context) {
  if (!ready_ || input_dims(context) != prepared_for_) {
    const std::string error = prepare_steps(context);
    if (!error.empty()) return error;
  }
  for (size_t i = 0; i < plan_.steps.size(); ++i) {
    const Step& step = plan_.steps[i];
    Prepared& prepared = prepared_[i];
    if (!check(context, prepared.input) || !check(context, prepared.output) || (step.residual >= 0 && !check(context, prepared.residual))) {
      return "a tensor of the host has no memory or too little";
    }
    if (!profile_) {
      run_step(context, step, prepared);
      continue;
    }
    const auto start = std::chrono::steady_clock::now();
    run_step(context, step, prepared);
    prepared.nanoseconds += std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now() - start).count();
  }
  ++runs_;
  return "";
}

void Partition::run_step(TfLiteContext* context, const Step& step, Prepared& prepared) {
  const void* from = data(context, prepared.input);
  void* to = data(context, prepared.output);
  const auto* bits = static_cast<const int32_t*>(from);
  const TfLiteTensor& input = tensor_of(context, step.input);
  const int32_t channels = prepared.channels;
  const int64_t rows = prepared.rows;
  switch (step.type) {
    case Step::kConv: {
      const void* residual = step.residual >= 0 ? data(context, prepared.residual) : nullptr;
      prepared.conv.run(bits, to, *pool_, static_cast<const float*>(residual));
      return;
    }
    case Step::kBitPool:
      bit_max_pool(prepared.pool, channels, bits, static_cast<int32_t*>(to), *pool_);
      return;
    case Step::kCompare:
      step.threshold.run(static_cast<const float*>(from), rows, static_cast<int32_t*>(to), *pool_);
      return;
    case Step::kQuantize: {
      auto* packed = static_cast<int32_t*>(to);
      if (input.type == kTfLiteFloat32) quantize(static_cast<const float*>(from), rows, channels, packed, *pool_);
      else if (input.type == kTfLiteInt8) quantize(static_cast<const int8_t*>(from), input.params.zero_point, rows, channels, packed, *pool_);
      else quantize(static_cast<const bool*>(from), rows, channels, packed, *pool_);
      return;
    }
    case Step::kDequantize: {
      const int type = tensor_of(context, step.output).type;
      if (type == kTfLiteFloat32) dequantize(bits, rows, channels, -1.0f, 1.0f, static_cast<float*>(to), *pool_);
      else if (type == kTfLiteInt8) dequantize(bits, rows, channels, prepared.one, prepared.zero, static_cast<int8_t*>(to), *pool_);
      else dequantize(bits, rows, channels, false, true, static_cast<bool*>(to), *pool_);
      return;
    }
  }
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
    const Step& step = plan_.steps[i];
    const Prepared& prepared = prepared_[i];
    text += "{\"nodes\": " + list(step.nodes, [&](size_t n) { return number(plan_.nodes[n].index); });
    text += ", \"operators\": " + list(step.nodes, [&](size_t n) { return "\"" + std::string(kind_name(plan_.nodes[n].kind)) + "\""; });
    text += ", \"kernel\": \"" + std::string(step.type == Step::kConv ? prepared.conv.kernel() : "") + "\"";
    text += ", \"output\": " + list(prepared.dims, number) + ", \"macs\": " + number(prepared.macs);
    text += ", \"runs\": " + number(runs_) + ", \"nanoseconds\": " + number(prepared.nanoseconds) + "}\n";
  }
  return text;
}

}  // namespace bduo
