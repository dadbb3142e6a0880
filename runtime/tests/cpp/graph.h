// A host's graph built by hand: its tensors and nodes as a delegate meets them. It only answers questions; nothing of
// it runs.
#pragma once

#include <cstring>
#include <deque>
#include <map>
#include <string>
#include <vector>

#include "abi/tflite.h"

namespace bduo::test {

// A FlexBuffer map of integers, as LCE's operators carry. A key with the value that std::map gives it is there, another
// is not.
inline std::vector<uint8_t> flexbuffer(const std::map<std::string, int32_t>& entries) {
  std::vector<uint8_t> bytes;
  const auto put = [&](size_t value) {
    for (int i = 0; i < 4; ++i) bytes.push_back(static_cast<uint8_t>(value >> (8 * i)));
  };
  std::vector<size_t> names;
  for (const auto& [key, value] : entries) {
    names.push_back(bytes.size());
    bytes.insert(bytes.end(), key.c_str(), key.c_str() + key.size() + 1);
  }
  constexpr size_t kWidth = 4;
  constexpr uint8_t kInt32 = 1 << 2 | 2, kMap = 9 << 2 | 2;  // The type, and the logarithm of the width in bytes.
  put(entries.size());
  const size_t keys = bytes.size();
  for (size_t name : names) put(bytes.size() - name);
  put(bytes.size() - keys);
  put(kWidth);
  put(entries.size());
  const size_t values = bytes.size();
  for (const auto& [key, value] : entries) put(static_cast<uint32_t>(value));
  bytes.insert(bytes.end(), entries.size(), kInt32);
  put(bytes.size() - values);
  bytes.push_back(kMap);
  bytes.push_back(kWidth);
  return bytes;
}

class Graph {
 public:
  Graph() {
    context_.impl_ = this;
    context_.GetNodeAndRegistration = [](TfLiteContext* context, int index, TfLiteNode** node, TfLiteRegistration** registration) {
      Graph& graph = *static_cast<Graph*>(context->impl_);
      if (index < 0 || static_cast<size_t>(index) >= graph.nodes_.size()) return kTfLiteError;
      *node = &graph.nodes_[static_cast<size_t>(index)].node;
      *registration = &graph.nodes_[static_cast<size_t>(index)].registration;
      return kTfLiteOk;
    };
  }
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;

  TfLiteContext* context() {
    context_.tensors = tensors_.data();
    context_.tensors_size = tensors_.size();
    return &context_;
  }

  int tensor(int type, const std::vector<int>& dims) {
    TfLiteTensor tensor{};
    tensor.type = type;
    tensor.dims = array(dims);
    tensor.allocation_type = kTfLiteArenaRw;
    tensors_.push_back(tensor);
    return static_cast<int>(tensors_.size()) - 1;
  }
  int floats(const std::vector<int>& dims) { return tensor(kTfLiteFloat32, dims); }
  int bits(const std::vector<int>& dims) { return tensor(kTfLiteInt32, dims); }

  template <class T>
  int constant(int type, const std::vector<int>& dims, const std::vector<T>& values) {
    const int id = tensor(type, dims);
    contents_.emplace_back(values.size() * sizeof(T));
    if (!values.empty()) std::memcpy(contents_.back().data(), values.data(), contents_.back().size());
    at(id).data = contents_.back().data();
    at(id).bytes = contents_.back().size();
    at(id).allocation_type = kTfLiteMmapRo;
    return id;
  }
  // A constant row of floats, with the shape [count].
  int row(const std::vector<float>& values) { return constant(kTfLiteFloat32, {static_cast<int>(values.size())}, values); }

  TfLiteTensor& at(int id) { return tensors_[static_cast<size_t>(id)]; }
  void reshape(int id, const std::vector<int>& dims) { at(id).dims = array(dims); }

  // Each adds a node and returns its number.
  int custom(const char* name, const std::vector<int>& inputs, const std::vector<int>& outputs,
             const std::map<std::string, int32_t>& options = {}) {
    Entry& entry = add(kTfLiteBuiltinCustom, inputs, outputs);
    entry.options = flexbuffer(options);
    entry.registration.custom_name = name;
    entry.node.custom_initial_data = entry.options.data();
    entry.node.custom_initial_data_size = static_cast<int>(entry.options.size());
    return last();
  }
  int arithmetic(int code, const std::vector<int>& inputs, int output, int activation = kTfLiteActNone) {
    Entry& entry = add(code, inputs, {output});
    entry.arithmetic.activation = activation;
    entry.node.builtin_data = &entry.arithmetic;
    return last();
  }
  int concatenation(const std::vector<int>& inputs, int output, int axis = -1) {
    Entry& entry = add(kTfLiteBuiltinConcatenation, inputs, {output});
    entry.concatenation.axis = axis;
    entry.node.builtin_data = &entry.concatenation;
    return last();
  }
  // 2x2 with a stride of 2, without padding.
  int max_pool(int input, int output) {
    Entry& entry = add(kTfLiteBuiltinMaxPool2d, {input}, {output});
    TfLitePoolParams& pool = entry.pool;
    pool.padding = kTfLitePaddingValid;
    pool.stride_width = pool.stride_height = pool.filter_width = pool.filter_height = 2;
    entry.node.builtin_data = &pool;
    return last();
  }

  TfLiteNode& node(int index) { return nodes_[static_cast<size_t>(index)].node; }
  TfLitePoolParams& pool_params(int index) { return nodes_[static_cast<size_t>(index)].pool; }
  TfLiteConcatenationParams& concatenation_params(int index) { return nodes_[static_cast<size_t>(index)].concatenation; }
  int node_count() const { return static_cast<int>(nodes_.size()); }

 private:
  struct Entry {
    TfLiteNode node{};
    TfLiteRegistration registration{};
    std::vector<uint8_t> options;
    TfLiteArithmeticParams arithmetic{};
    TfLiteConcatenationParams concatenation{};
    TfLitePoolParams pool{};
  };

  TfLiteIntArray* array(const std::vector<int>& values) {
    arrays_.push_back({static_cast<int>(values.size())});
    arrays_.back().insert(arrays_.back().end(), values.begin(), values.end());
    return reinterpret_cast<TfLiteIntArray*>(arrays_.back().data());
  }
  Entry& add(int code, const std::vector<int>& inputs, const std::vector<int>& outputs) {
    nodes_.emplace_back();
    Entry& entry = nodes_.back();
    entry.node.inputs = array(inputs);
    entry.node.outputs = array(outputs);
    entry.registration.builtin_code = code;
    return entry;
  }
  int last() const { return node_count() - 1; }

  TfLiteContext context_{};
  std::vector<TfLiteTensor> tensors_;
  // Deques, because what is in them must not move.
  std::deque<Entry> nodes_;
  std::deque<std::vector<int>> arrays_;
  std::deque<std::vector<unsigned char>> contents_;
};

// The options of a binary convolution of 3x3 pixels with SAME padding.
inline std::map<std::string, int32_t> conv_options(int32_t channels_in) {
  return {{"channels_in", channels_in}, {"stride_height", 1}, {"stride_width", 1}, {"dilation_height_factor", 1},
          {"dilation_width_factor", 1}, {"padding", 0},       {"pad_values", 1},   {"fused_activation_function", 0}};
}

inline std::map<std::string, int32_t> pool_options() {
  return {{"filter_height", 2}, {"filter_width", 2}, {"stride_height", 2}, {"stride_width", 2}, {"padding", 1}};
}

}  // namespace bduo::test
