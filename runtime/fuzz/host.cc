// A small TFLite host: its tensors, and how nodes are prepared and run.
#include "host.h"

#include <cmath>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>

#include "int_array.h"

namespace bduo::fuzz {
namespace {

// A real file guarantees no greater alignment of constants than this.
constexpr size_t kConstantOffset = 4;

void report_error(TfLiteContext*, const char* format, ...) {
  char text[512];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  if (std::getenv("FUZZ_VERBOSE")) std::fprintf(stderr, "%s\n", text);
}

}  // namespace

void Host::Free::operator()(void* memory) const { std::free(memory); }

Host::Host(const Model& model, bool dynamic) : model_(model), dynamic_(dynamic) {
  const size_t count = model.tensors.size();
  tensors_.resize(count);
  constants_.resize(count);
  arena_.resize(count);
  for (size_t i = 0; i < count; ++i) {
    const ModelTensor& from = model.tensors[i];
    TfLiteTensor& to = tensors_[i];
    to.type = from.type;
    to.dims = new_array(from.shape);
    to.params = {from.scale, from.zero_point};
    to.is_variable = from.variable;
    static char sparsity;
    if (from.sparse) to.sparsity = &sparsity;
    if (from.content.data) {
      constants_[i].reset(std::malloc(from.content.size + kConstantOffset));
      to.data = static_cast<char*>(constants_[i].get()) + kConstantOffset;
      std::memcpy(to.data, from.content.data, from.content.size);
      to.bytes = from.content.size;
      to.allocation_type = kTfLiteMmapRo;
      continue;
    }
    if (element_size(from.type)) tensor_bytes(from.type, from.shape.data(), from.shape.size(), &to.bytes);
    to.allocation_type = !element_size(from.type) ? kTfLiteDynamic : from.variable ? kTfLiteArenaRwPersistent : kTfLiteArenaRw;
  }
  for (size_t i = 0; i < model.operators.size(); ++i) {
    const ModelOperator& from = model.operators[i];
    Entry entry;
    entry.node.inputs = new_array(from.inputs);
    entry.node.outputs = new_array(from.outputs);
    entry.node.intermediates = new_array({});
    entry.node.temporaries = new_array({});
    entry.registration.builtin_code = from.code;
    entry.registration.version = 1;
    if (from.code == kTfLiteBuiltinCustom) {
      entry.registration.custom_name = from.custom.c_str();
      entry.node.custom_initial_data = from.options.data;
      entry.node.custom_initial_data_size = static_cast<int>(from.options.size);
    } else {
      entry.node.builtin_data = const_cast<void*>(static_cast<const void*>(&from.builtin));
    }
    nodes_.push_back(entry);
    plan_.push_back(static_cast<int>(i));
  }
  context_.tensors_size = count;
  context_.tensors = tensors_.data();
  context_.impl_ = this;
  context_.recommended_num_threads = 1;
  context_.ReportError = report_error;
  context_.ResizeTensor = [](TfLiteContext* context, TfLiteTensor* tensor, TfLiteIntArray* size) {
    return of(context).resize(tensor, size);
  };
  allow_delegating(false);
}

Host::~Host() {
  for (Entry& entry : nodes_) clear(entry);
  for (TfLiteTensor& tensor : tensors_) {
    if (tensor.allocation_type == kTfLiteDynamic) std::free(tensor.data);
    std::free(tensor.dims);
  }
  std::free(plan_array_);
}

void Host::clear(Entry& entry) {
  if (entry.registration.free && entry.node.user_data) entry.registration.free(&context_, entry.node.user_data);
  std::free(entry.node.inputs);
  std::free(entry.node.outputs);
  std::free(entry.node.intermediates);
  std::free(entry.node.temporaries);
}

bool Host::constants_intact() const {
  for (size_t i = 0; i < tensors_.size(); ++i) {
    const Bytes& content = model_.tensors[i].content;
    if (content.data && std::memcmp(static_cast<const char*>(constants_[i].get()) + kConstantOffset, content.data, content.size) != 0) {
      return false;
    }
  }
  return true;
}

bool Host::resize(int id, const std::vector<int>& dims) {
  unprepared_ = 0;
  return resize(&tensors_[static_cast<size_t>(id)], new_array(dims)) == kTfLiteOk;
}

TfLiteStatus Host::resize(TfLiteTensor* tensor, TfLiteIntArray* size) {
  if (tensor->allocation_type == kTfLiteMmapRo) {
    std::free(size);
    return kTfLiteError;
  }
  const bool same = equal(*tensor->dims, *size);
  if (!same || !tensor->data) {
    size_t bytes = 0;
    if (element_size(tensor->type) && !tensor_bytes(tensor->type, size->data, static_cast<size_t>(size->size), &bytes)) {
      std::free(size);
      return kTfLiteError;
    }
    resized_ = resized_ || !same;
    if (tensor->allocation_type == kTfLiteDynamic) {
      std::free(tensor->data);
      tensor->data = std::malloc(bytes);
    } else {
      tensor->data = nullptr;
    }
    tensor->bytes = bytes;
  }
  std::free(tensor->dims);
  tensor->dims = size;
  return kTfLiteOk;
}

bool Host::allocate() {
  for (int id : model_.inputs) give_memory(id);
  return prepare_from(0);
}

bool Host::has_dynamic_output(const TfLiteNode& node) const {
  for (int i = 0; i < node.outputs->size; ++i) {
    if (node.outputs->data[i] >= 0 && tensor(node.outputs->data[i]).allocation_type == kTfLiteDynamic) return true;
  }
  return false;
}

// Prepares nodes, up to the first one whose outputs get their shapes only when it runs.
bool Host::prepare_from(size_t position) {
  for (unprepared_ = position; unprepared_ < plan_.size();) {
    Entry& entry = nodes_[static_cast<size_t>(plan_[unprepared_])];
    for (int i = 0; dynamic_ && !entry.registration.prepare && i < entry.node.outputs->size; ++i) {
      if (entry.node.outputs->data[i] < 0) continue;
      TfLiteTensor& output = tensors_[static_cast<size_t>(entry.node.outputs->data[i])];
      if (output.allocation_type != kTfLiteArenaRw) continue;
      output.allocation_type = kTfLiteDynamic;
      output.data = nullptr;
    }
    if (entry.registration.prepare && entry.registration.prepare(&context_, &entry.node) != kTfLiteOk) return false;
    ++unprepared_;
    for (const TfLiteIntArray* ids : {entry.node.inputs, entry.node.outputs}) {
      for (int i = 0; i < ids->size; ++i) give_memory(ids->data[i]);
    }
    if (has_dynamic_output(entry.node)) break;
  }
  return true;
}

void Host::give_memory(int id) {
  constexpr size_t kMost = size_t{1} << 26;
  if (id < 0) return;
  TfLiteTensor& tensor = tensors_[static_cast<size_t>(id)];
  const bool arena = tensor.allocation_type == kTfLiteArenaRw || tensor.allocation_type == kTfLiteArenaRwPersistent;
  if (!arena || tensor.data || tensor.bytes > kMost) return;
  arena_[static_cast<size_t>(id)].reset(std::malloc(tensor.bytes));
  tensor.data = arena_[static_cast<size_t>(id)].get();
  fill(id);
}

bool Host::invoke() {
  for (int id : model_.inputs) fill(id);
  for (size_t position = 0; position < plan_.size(); ++position) {
    if (position == unprepared_ && !prepare_from(position)) return false;
    Entry& entry = nodes_[static_cast<size_t>(plan_[position])];
    const TfLiteIntArray& inputs = *entry.node.inputs;
    for (int i = 0; i < inputs.size; ++i) {
      if (inputs.data[i] >= 0 && !tensor(inputs.data[i]).data && tensor(inputs.data[i]).bytes) return false;
    }
    resized_ = false;
    if (!entry.registration.invoke) {
      run_own(entry.node);
    } else if (entry.registration.invoke(&context_, &entry.node) != kTfLiteOk) {
      return false;
    }
    if (resized_ && has_dynamic_output(entry.node)) unprepared_ = position + 1;
  }
  return true;
}

void Host::run_own(const TfLiteNode& node) {
  for (int i = 0; i < node.outputs->size; ++i) {
    const int id = node.outputs->data[i];
    if (id < 0) continue;
    TfLiteTensor& tensor = tensors_[static_cast<size_t>(id)];
    if (tensor.allocation_type == kTfLiteDynamic && element_size(tensor.type)) {
      resize(&tensor, new_array(model_.tensors[static_cast<size_t>(id)].shape));
    }
    fill(id);
  }
}

void Host::fill(int id) {
  const TfLiteTensor& tensor = this->tensor(id);
  if (!tensor.data || tensor.allocation_type == kTfLiteMmapRo) return;
  auto next = [this] {
    random_ = random_ * 6364136223846793005u + 1442695040888963407u;
    return static_cast<uint32_t>(random_ >> 33);
  };
  if (tensor.type != kTfLiteFloat32) {
    auto* bytes = static_cast<uint8_t*>(tensor.data);
    for (size_t i = 0; i < tensor.bytes; ++i) bytes[i] = static_cast<uint8_t>(next());
    return;
  }
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  constexpr float kSpecial[] = {kInfinity, -kInfinity, std::numeric_limits<float>::quiet_NaN(), 0.0f, -0.0f, 1e-42f, 3e38f, -3e38f};
  auto* numbers = static_cast<float*>(tensor.data);
  for (size_t i = 0; i < tensor.bytes / sizeof(float); ++i) {
    const uint32_t x = next();
    numbers[i] = x % 32 == 0 ? kSpecial[x / 32 % 8] : (static_cast<float>(x % 4001) - 2000) / 500;
  }
}

}  // namespace bduo::fuzz
