// Operators and tensors of the host's graph, as far as this library takes part in them, read and checked.
#include "graph/node.h"

#include <algorithm>
#include <cstring>

#include "flexbuffer/map.h"

namespace bduo {
namespace {

std::string number(int64_t value) { return std::to_string(value); }

bool to_activation(int value, Activation* activation) {
  switch (value) {
    case kTfLiteActNone: *activation = Activation::kNone; return true;
    case kTfLiteActRelu: *activation = Activation::kRelu; return true;
    case kTfLiteActReluN1To1: *activation = Activation::kRelu1; return true;
    case kTfLiteActRelu6: *activation = Activation::kRelu6; return true;
    default: return false;
  }
}

bool is_float(const TfLiteTensor& tensor) { return tensor.type == kTfLiteFloat32; }

bool valid(const Window& w) {
  return w.height > 0 && w.width > 0 && w.stride_height > 0 && w.stride_width > 0 && w.dilation_height > 0 && w.dilation_width > 0;
}

// Options of an LCE operator: one of LCE's names after another, until one is missing.
class Options {
 public:
  explicit Options(const TfLiteNode& node) : map_(node.custom_initial_data, static_cast<size_t>(node.custom_initial_data_size)) {}

  Options& read(const char* key, int32_t* value) {
    if (missing_.empty() && !map_.get(key, value)) missing_ = key;
    return *this;
  }
  std::string error() const { return missing_.empty() ? "" : "its options lack " + missing_; }

 private:
  FlexMap map_;
  std::string missing_;
};

std::string read_padding(int32_t padding, bool* same) {
  if (padding != 0 && padding != 1) return "its padding is neither SAME nor VALID";
  *same = padding == 0;
  return "";
}

std::string read_conv(TfLiteContext* context, const TfLiteNode& host, Node* node) {
  int32_t padding = 0, pad_values = 0, activation = 0;
  Window& w = node->window;
  std::string error = Options(host)
                          .read("channels_in", &node->channels_in)
                          .read("stride_height", &w.stride_height)
                          .read("stride_width", &w.stride_width)
                          .read("dilation_height_factor", &w.dilation_height)
                          .read("dilation_width_factor", &w.dilation_width)
                          .read("padding", &padding)
                          .read("pad_values", &pad_values)
                          .read("fused_activation_function", &activation)
                          .error();
  if (error.empty()) error = read_padding(padding, &node->same);
  if (!error.empty()) return error;
  if (pad_values != 0 && pad_values != 1) return "its pad_values is neither 0 nor 1";
  node->zero_padding = node->same && pad_values == 0;
  if (!to_activation(activation, &node->activation)) return "its fused activation is unknown";
  if (node->inputs.size() != 5 || node->outputs.size() != 1) return "it has not five inputs and one output";
  for (int i : {0, 1}) {
    if (node->inputs[i] < 0) return "an input is missing";
    if (tensor_of(context, node->inputs[i]).type != kTfLiteInt32) return "its activations or filter are not packed bits (int32)";
  }

  const TfLiteTensor& filter = tensor_of(context, node->inputs[1]);
  const std::vector<int32_t> dims = dims_of(filter);
  if (!is_constant(filter) || dims.size() != 4) return "its filter is not a constant of four dimensions";
  node->channels_out = dims[0];
  w.height = dims[1];
  w.width = dims[2];
  if (node->channels_in <= 0 || node->channels_out <= 0 || !valid(w)) return "a size, stride or dilation is not positive";
  const int32_t words = words_of(node->channels_in);
  if (dims[3] <= 0 || words % dims[3] != 0) return "its filter does not fit " + number(node->channels_in) + " channels";
  node->groups = words / dims[3];
  if (node->groups > 1 && (node->channels_in % node->groups != 0 || node->channels_in / node->groups % 32 != 0 ||
                           node->channels_out % node->groups != 0)) {
    return "its groups do not divide its channels";
  }

  const int type = tensor_of(context, node->outputs[0]).type;
  auto is_vector = [&](int input, int wanted) {
    if (node->inputs[input] < 0) return false;
    const TfLiteTensor& tensor = tensor_of(context, node->inputs[input]);
    return is_constant(tensor) && tensor.type == wanted && dims_of(tensor) == std::vector<int32_t>{node->channels_out};
  };
  if (type == kTfLiteInt32) {
    if (!is_vector(4, kTfLiteInt32)) return "its thresholds are not a constant int32 for each channel";
  } else if (type == kTfLiteFloat32 || type == kTfLiteInt8) {
    if (!is_vector(2, kTfLiteFloat32) || !is_vector(3, kTfLiteFloat32)) {
      return "its multiplier and bias are not constant floats, one for each channel";
    }
  } else {
    return "its output is not float32, int8 or packed bits (int32)";
  }
  return "";
}

std::string read_bit_pool(TfLiteContext* context, const TfLiteNode& host, Node* node) {
  int32_t padding = 0;
  Window& w = node->window;
  std::string error = Options(host)
                          .read("filter_height", &w.height)
                          .read("filter_width", &w.width)
                          .read("stride_height", &w.stride_height)
                          .read("stride_width", &w.stride_width)
                          .read("padding", &padding)
                          .error();
  if (error.empty()) error = read_padding(padding, &node->same);
  if (!error.empty()) return error;
  if (!valid(w)) return "a size or stride is not positive";
  if (node->inputs.size() != 1 || node->outputs.size() != 1 || node->inputs[0] < 0) return "it has not one input and one output";
  if (tensor_of(context, node->inputs[0]).type != kTfLiteInt32 || tensor_of(context, node->outputs[0]).type != kTfLiteInt32) {
    return "it does not read and write packed bits (int32)";
  }
  return "";
}

// LceQuantize and LceDequantize: `numbers` is the side that is not bits.
std::string read_conversion(TfLiteContext* context, const Node& node, bool to_bits) {
  if (node.inputs.size() != 1 || node.outputs.size() != 1 || node.inputs[0] < 0) return "it has not one input and one output";
  const TfLiteTensor& input = tensor_of(context, node.inputs[0]);
  const TfLiteTensor& output = tensor_of(context, node.outputs[0]);
  const int numbers = to_bits ? input.type : output.type;
  if ((to_bits ? output.type : input.type) != kTfLiteInt32) return "its bits are not packed in int32";
  if (numbers != kTfLiteFloat32 && numbers != kTfLiteInt8 && numbers != kTfLiteBool) return "its numbers are not float32, int8 or bool";
  return "";
}

void read_builtin(TfLiteContext* context, const TfLiteNode& host, int code, Node* node) {
  for (int id : node->inputs) {
    if (id < 0 || !is_float(tensor_of(context, id))) return;
  }
  if (!host.builtin_data || node->outputs.size() != 1 || node->outputs[0] < 0) return;
  const TfLiteTensor& output = tensor_of(context, node->outputs[0]);
  if (!is_float(output) || is_constant(output)) return;
  const size_t inputs = node->inputs.size();
  switch (code) {
    case kTfLiteBuiltinAdd:
    case kTfLiteBuiltinSub:
    case kTfLiteBuiltinMul: {
      const auto* params = static_cast<const TfLiteArithmeticParams*>(host.builtin_data);
      if (inputs != 2 || !to_activation(params->activation, &node->activation)) return;
      node->kind = code == kTfLiteBuiltinAdd ? Kind::kAdd : code == kTfLiteBuiltinSub ? Kind::kSub : Kind::kMul;
      return;
    }
    case kTfLiteBuiltinConcatenation: {
      const auto* params = static_cast<const TfLiteConcatenationParams*>(host.builtin_data);
      const int rank = static_cast<int>(dims_of(output).size());
      if (inputs < 2 || params->activation != kTfLiteActNone || rank == 0 || (params->axis != -1 && params->axis != rank - 1)) return;
      node->kind = Kind::kConcat;
      return;
    }
    case kTfLiteBuiltinMaxPool2d: {
      const auto* params = static_cast<const TfLitePoolParams*>(host.builtin_data);
      Window& w = node->window;
      w.height = params->filter_height;
      w.width = params->filter_width;
      w.stride_height = params->stride_height;
      w.stride_width = params->stride_width;
      if (inputs != 1 || !valid(w) || !to_activation(params->activation, &node->activation)) return;
      if (params->padding != kTfLitePaddingSame && params->padding != kTfLitePaddingValid) return;
      node->same = params->padding == kTfLitePaddingSame;
      node->kind = Kind::kMaxPool;
      return;
    }
    default:
      return;
  }
}

}  // namespace

const char* kind_name(Kind kind) {
  switch (kind) {
    case Kind::kQuantize: return "LceQuantize";
    case Kind::kDequantize: return "LceDequantize";
    case Kind::kConv: return "LceBconv2d";
    case Kind::kBitPool: return "LceBMaxPool2d";
    case Kind::kAdd: return "ADD";
    case Kind::kSub: return "SUB";
    case Kind::kMul: return "MUL";
    case Kind::kConcat: return "CONCATENATION";
    case Kind::kMaxPool: return "MAX_POOL_2D";
    default: return "other";
  }
}

Node read_node(TfLiteContext* context, int index, std::string* error) {
  Node node;
  node.index = index;
  TfLiteNode* host = nullptr;
  TfLiteRegistration* registration = nullptr;
  if (context->GetNodeAndRegistration(context, index, &host, &registration) != kTfLiteOk) {
    *error = "the host does not know operator " + number(index);
    return node;
  }
  node.inputs.assign(host->inputs->data, host->inputs->data + host->inputs->size);
  node.outputs.assign(host->outputs->data, host->outputs->data + host->outputs->size);
  if (registration->builtin_code != kTfLiteBuiltinCustom) {
    read_builtin(context, *host, registration->builtin_code, &node);
    return node;
  }
  const char* name = registration->custom_name ? registration->custom_name : "";
  for (Kind kind : {Kind::kQuantize, Kind::kDequantize, Kind::kConv, Kind::kBitPool}) {
    if (std::strcmp(name, kind_name(kind)) == 0) node.kind = kind;
  }
  const auto writable = [&](int id) { return id >= 0 && !is_constant(tensor_of(context, id)); };
  if (node.kind != Kind::kOther && !std::all_of(node.outputs.begin(), node.outputs.end(), writable)) {
    *error = "its output is not a tensor to write to";
  } else {
    switch (node.kind) {
      case Kind::kConv: *error = read_conv(context, *host, &node); break;
      case Kind::kBitPool: *error = read_bit_pool(context, *host, &node); break;
      case Kind::kQuantize:
      case Kind::kDequantize: *error = read_conversion(context, node, node.kind == Kind::kQuantize); break;
      default: break;
    }
  }
  if (!error->empty()) *error = std::string(name) + " (operator " + number(index) + "): " + *error;
  return node;
}

bool is_constant(const TfLiteTensor& tensor) { return tensor.allocation_type == kTfLiteMmapRo && tensor.data && tensor.dims && !tensor.sparsity; }

std::vector<int32_t> dims_of(const TfLiteTensor& tensor) {
  if (!tensor.dims) return {};
  return {tensor.dims->data, tensor.dims->data + tensor.dims->size};
}

int32_t channels_of(const TfLiteTensor& tensor) {
  return tensor.dims && tensor.dims->size > 0 ? tensor.dims->data[tensor.dims->size - 1] : 0;
}

bool count_rows(const std::vector<int32_t>& dims, int64_t* rows) {
  constexpr int64_t kMost = int64_t{1} << 40;
  int64_t product = 1, all = 1;
  for (size_t i = 0; i < dims.size(); ++i) {
    if (dims[i] < 0 || dims[i] > kMost / all) return false;
    if (dims[i] > 0) all *= dims[i];  // bounds the product even where another dimension is 0
    if (i + 1 < dims.size()) product *= dims[i];
  }
  *rows = product;
  return !dims.empty();
}

const float* constant_row(const TfLiteTensor& tensor, int32_t* count) {
  if (tensor.type != kTfLiteFloat32 || !is_constant(tensor)) return nullptr;
  for (int i = 0; i + 1 < tensor.dims->size; ++i) {
    if (tensor.dims->data[i] != 1) return nullptr;
  }
  *count = tensor.dims->size ? channels_of(tensor) : 1;
  return *count > 0 ? static_cast<const float*>(tensor.data) : nullptr;
}

}  // namespace bduo
