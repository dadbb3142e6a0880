// LceBconv2d: a binary convolution, with float32, int8 or bits as its output. It may take over the comparison after it
// or a sum.
#include <algorithm>
#include <string>

#include "conv/binary_conv.h"
#include "graph/ops/list.h"
#include "graph/ops/options.h"

namespace bduo {
namespace {

// LCE's order of inputs.
enum Input : size_t { kActivations, kFilter, kMultiplier, kBias, kThresholds, kInputs };

struct ConvOptions {
  SlidingWindow window;
  int32_t channels_in = 0, channels_out = 0, groups = 1;
  bool zero_padding = false;
  Activation activation = Activation::kNone;
};

class PreparedConv : public PreparedOperator {
 public:
  BinaryConv conv;
  bool has_sum = false;

  void run(const void* const* inputs, void* output, ThreadPool& pool) override {
    conv.run(static_cast<const int32_t*>(inputs[0]), output, pool, has_sum ? static_cast<const float*>(inputs[1]) : nullptr);
  }
};

class Conv : public Operator {
 public:
  Conv(const ConvOptions& options, const NodeSource& node)
      : options_(options), inputs_(node.inputs), writes_floats_(node.output().type == kTfLiteFloat32) {}

  static Status read(const NodeSource& node, std::shared_ptr<const Operator>* op) {
    ConvOptions options;
    Status status = read_options(node, &options);
    if (status.ok()) status = read_tensors(node, &options);
    if (status.ok()) *op = std::make_shared<const Conv>(options, node);
    return status;
  }

  Status prepare(const Preparation& preparation, std::unique_ptr<PreparedOperator>* prepared) const override;

  bool reads_any_layout(int32_t channels) const override { return options_.groups == 1 && options_.channels_in == channels; }
  std::shared_ptr<const Operator> compared(TfLiteContext* context, const Comparison& comparison,
                                           const std::optional<SlidingWindow>& pool) const override;
  std::shared_ptr<const Operator> with_sum() const override;

 private:
  static Status read_options(const NodeSource& node, ConvOptions* options);
  static Status read_tensors(const NodeSource& node, ConvOptions* options);

  template <class T>
  const T* values(TfLiteContext* context, Input input) const {
    return static_cast<const T*>(tensor_of(context, inputs_[input]).data);
  }
  std::vector<float> floats(TfLiteContext* context, Input input) const {
    const auto* first = values<float>(context, input);
    return {first, first + options_.channels_out};
  }
  Status define(const Preparation& preparation, ConvDefinition* definition) const;
  Status prepare_stage(const Preparation& preparation, const ConvDefinition& definition, PreparedConv* prepared) const;

  ConvOptions options_;
  std::vector<int> inputs_;
  bool writes_floats_;

  // What it has taken over.
  std::optional<CompareStage> comparison_;
  std::optional<SlidingWindow> pool_;  // before the comparison
  bool has_sum_ = false;
};

Status Conv::read_options(const NodeSource& node, ConvOptions* options) {
  int32_t padding = 0, pad_values = 0, activation_number = 0;
  Window& w = options->window.size;
  Status status = Options(node.host)
                      .read("channels_in", &options->channels_in)
                      .read("stride_height", &w.stride_height)
                      .read("stride_width", &w.stride_width)
                      .read("dilation_height_factor", &w.dilation_height)
                      .read("dilation_width_factor", &w.dilation_width)
                      .read("padding", &padding)
                      .read("pad_values", &pad_values)
                      .read("fused_activation_function", &activation_number)
                      .status();
  if (status.ok()) status = to_padding(padding, &options->window.same);
  if (!status.ok()) return status;
  if (pad_values != 0 && pad_values != 1) return Status::error("its pad_values is neither 0 nor 1");
  options->zero_padding = options->window.same && pad_values == 0;
  const std::optional<Activation> activation = to_activation(activation_number);
  if (!activation) return Status::error("its fused activation is unknown");
  options->activation = *activation;
  return {};
}

Status Conv::read_tensors(const NodeSource& node, ConvOptions* options) {
  if (node.inputs.size() != kInputs || node.outputs.size() != 1) {
    return Status::error("it has not five inputs and one output");
  }
  for (Input i : {kActivations, kFilter}) {
    if (!node.has(i)) return Status::error("an input is missing");
    if (node.input(i).type != kTfLiteInt32) {
      return Status::error("its activations or filter are not packed bits (int32)");
    }
  }

  const std::vector<int32_t> dims = dims_of(node.input(kFilter));
  if (!is_constant(node.input(kFilter)) || dims.size() != 4) {
    return Status::error("its filter is not a constant of four dimensions");
  }
  const int32_t channels_in = options->channels_in;
  const int32_t channels_out = options->channels_out = dims[0];
  options->window.size.height = dims[1];
  options->window.size.width = dims[2];
  if (channels_in <= 0 || channels_out <= 0 || !options->window.valid()) {
    return Status::error("a size, stride or dilation is not positive");
  }
  const int32_t words = words_of(channels_in);
  if (dims[3] <= 0 || words % dims[3] != 0) {
    return Status::error("its filter does not fit " + std::to_string(channels_in) + " channels");
  }
  const int32_t groups = options->groups = words / dims[3];
  if (groups > 1 && (channels_in % groups != 0 || channels_in / groups % 32 != 0 || channels_out % groups != 0)) {
    return Status::error("its groups do not divide its channels");
  }

  const auto is_vector = [&](Input i, int type) {
    return node.has(i) && is_constant(node.input(i)) && node.input(i).type == type &&
           dims_of(node.input(i)) == std::vector<int32_t>{channels_out};
  };
  const int type = node.output().type;
  if (type == kTfLiteInt32) {
    if (is_vector(kThresholds, kTfLiteInt32)) return {};
    return Status::error("its thresholds are not a constant int32 for each channel");
  }
  if (type == kTfLiteFloat32 || type == kTfLiteInt8) {
    if (is_vector(kMultiplier, kTfLiteFloat32) && is_vector(kBias, kTfLiteFloat32)) return {};
    return Status::error("its multiplier and bias are not constant floats, one for each channel");
  }
  return Status::error("its output is not float32, int8 or packed bits (int32)");
}

std::shared_ptr<const Operator> Conv::compared(TfLiteContext* context, const Comparison& comparison,
                                               const std::optional<SlidingWindow>& pool) const {
  if (!writes_floats_ || options_.channels_out != comparison.channels) return nullptr;
  // A float32 holds every integer up to this one, so that all dot products are exact in it.
  constexpr int64_t kMostExact = 1 << 24;
  const int64_t pixels = int64_t{options_.window.size.height} * options_.window.size.width;
  const int64_t channels = options_.channels_in / options_.groups;
  if (pixels > kMostExact || channels > kMostExact || pixels * channels > kMostExact) return nullptr;
  ConvOutput output;
  output.depth = static_cast<int32_t>(pixels * channels);
  output.activation = options_.activation;
  output.multiplier = values<float>(context, kMultiplier);
  output.bias = values<float>(context, kBias);
  std::optional<CompareStage> stage = fold_into_integers(output, comparison);
  if (!stage) return nullptr;
  auto conv = std::make_shared<Conv>(*this);
  conv->comparison_ = std::move(stage);
  conv->pool_ = pool;
  return conv;
}

std::shared_ptr<const Operator> Conv::with_sum() const {
  if (!writes_floats_) return nullptr;
  auto conv = std::make_shared<Conv>(*this);
  conv->has_sum_ = true;
  return conv;
}

Status Conv::prepare(const Preparation& preparation, std::unique_ptr<PreparedOperator>* prepared) const {
  ConvDefinition definition;
  if (Status status = define(preparation, &definition); !status.ok()) return status;
  const ConvShape& shape = definition.shape;
  auto conv = std::make_unique<PreparedConv>();
  conv->macs = shape.macs();
  conv->shape.dims = {shape.batch, shape.output_height, shape.output_width, shape.channels_out};
  if (Status status = prepare_stage(preparation, definition, conv.get()); !status.ok()) return status;
  conv->kernel = conv->conv.kernel();
  conv->has_sum = has_sum_;
  if (has_sum_ && preparation.inputs[1].dims != conv->shape.dims) {
    return Status::error("what is added to its output has another shape");
  }
  if (bytes_of(preparation.inputs[0].dims, kTfLiteInt32) != conv->conv.input_bytes()) {
    return Status::error("its input has another size than its shape says");
  }
  *prepared = std::move(conv);
  return {};
}

Status Conv::define(const Preparation& preparation, ConvDefinition* definition) const {
  const TensorShape& input = preparation.inputs[0];
  if (input.dims.size() != 4) return Status::error("its input does not have four dimensions");
  ConvShape& shape = definition->shape;
  shape.batch = input.dims[0];
  shape.input_height = input.dims[1];
  shape.input_width = input.dims[2];
  shape.channels_in = options_.channels_in;
  shape.channels_out = options_.channels_out;
  shape.groups = options_.groups;
  shape.zero_padding = options_.zero_padding;
  Status status = options_.window.over(shape.input_height, shape.input_width, &shape.window, &shape.output_height, &shape.output_width);
  if (status.ok()) status = shape.validate();
  if (!status.ok()) return status;

  definition->input = input.layout.words > 0 ? input.layout : ChannelLayout::packed(shape.channels_in);
  if (definition->input.channels() != shape.channels_in || definition->input.words != input.dims[3]) {
    return Status::error("its input does not have as many channels as its filter");
  }
  definition->filter = values<int32_t>(preparation.context, kFilter);
  definition->filter_words = static_cast<int64_t>(tensor_of(preparation.context, inputs_[kFilter]).bytes / sizeof(int32_t));
  return {};
}

Status Conv::prepare_stage(const Preparation& preparation, const ConvDefinition& definition, PreparedConv* prepared) const {
  TfLiteContext* context = preparation.context;
  const TfLiteTensor& output = tensor_of(context, preparation.output);
  if (comparison_ || output.type == kTfLiteInt32) {
    CompareStage stage =
        comparison_ ? *comparison_ : CompareStage::from_lce_thresholds(definition.shape, values<int32_t>(context, kThresholds));
    std::vector<int32_t>& dims = prepared->shape.dims;
    if (pool_) {
      if (Status status = pool_->pool_over(dims, &stage.pool); !status.ok()) return status;
      dims[1] = stage.pool.output_height;
      dims[2] = stage.pool.output_width;
    }
    if (Status status = prepared->conv.prepare(definition, stage, preparation.threads); !status.ok()) return status;
    prepared->shape.layout = prepared->conv.output_layout();
    dims[3] = prepared->shape.layout.words;
    return {};
  }
  if (output.type == kTfLiteInt8) {
    Int8Stage stage;
    stage.activation = options_.activation;
    stage.multiplier = floats(context, kMultiplier);
    stage.bias = floats(context, kBias);
    stage.scale = output.params.scale;
    stage.zero_point = output.params.zero_point;
    return prepared->conv.prepare(definition, stage, preparation.threads);
  }
  FloatStage stage;
  stage.activation = options_.activation;
  stage.multiplier = floats(context, kMultiplier);
  stage.bias = floats(context, kBias);
  return prepared->conv.prepare(definition, stage, preparation.threads);
}

}  // namespace

namespace ops {
extern const OperatorType conv{"LceBconv2d", kTfLiteBuiltinCustom, Conv::read};
}  // namespace ops

}  // namespace bduo
