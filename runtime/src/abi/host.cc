// Checks, when a delegate is applied, that the host lays its structures out as tflite.h declares them.
#include "abi/host.h"

#include <cstring>
#include <string>

#include "file_limits.h"

namespace bduo {
namespace {

// Greater numbers than any version of TFLite gives its types, allocation types and operators.
constexpr int kMostType = 63, kMostAllocationType = 15, kMostOperator = 4095;
constexpr uintptr_t kFirstPage = 4096;  // No object lies there.

template <class T>
bool plausible(const T* pointer) {
  return pointer && reinterpret_cast<uintptr_t>(pointer) % alignof(T) == 0 && reinterpret_cast<uintptr_t>(pointer) >= kFirstPage;
}

bool plausible_array(const TfLiteIntArray* array) {
  return plausible(array) && array->size >= 0 && array->size <= limits::kMostArrayEntries;
}

// Bytes of an element, 0 for types that this library does not read.
size_t size_of(int type) {
  switch (type) {
    case kTfLiteFloat32:
    case kTfLiteInt32: return 4;
    case kTfLiteInt8:
    case kTfLiteBool: return 1;
    default: return 0;
  }
}

// Fails with the name of what no tensor can have.
Status check_tensor(const TfLiteTensor& tensor) {
  if (tensor.type < 0 || tensor.type > kMostType) return Status::error("type");
  if (tensor.allocation_type < 0 || tensor.allocation_type > kMostAllocationType) {
    return Status::error("allocation type");
  }
  // They are read as bytes, because to read a bool that is neither true nor false is undefined.
  unsigned char flags[2];
  std::memcpy(&flags[0], &tensor.data_is_stale, 1);
  std::memcpy(&flags[1], &tensor.is_variable, 1);
  if (flags[0] > 1 || flags[1] > 1) return Status::error("flags");
  if (!tensor.dims) return {};
  if (!plausible_array(tensor.dims)) return Status::error("dimensions");
  const size_t size = size_of(tensor.type);
  if (tensor.allocation_type != kTfLiteMmapRo || size == 0 || tensor.sparsity) return {};
  size_t bytes = size;
  for (int i = 0; i < tensor.dims->size; ++i) {
    if (tensor.dims->data[i] < 0 || __builtin_mul_overflow(bytes, static_cast<size_t>(tensor.dims->data[i]), &bytes)) {
      return Status::error("shape");
    }
  }
  return bytes == tensor.bytes ? Status() : Status::error("length");
}

Status mismatch(const std::string& what) {
  return Status::error("the host's TFLite interface is not the one this library knows (" + what +
                       "); versions that work: ai-edge-litert 1.x and 2.x, "
                       "tflite-runtime 2.14, TensorFlow 2.21");
}

}  // namespace

Status check_host(TfLiteContext* context) {
  if (!plausible(context)) return mismatch("context");
  if (!context->GetExecutionPlan || !context->ReportError || !context->GetNodeAndRegistration ||
      !context->ReplaceNodeSubsetsWithDelegateKernels || !context->ResizeTensor || !context->PreviewDelegatePartitioning) {
    return mismatch("a function is missing");
  }
  if (context->tensors_size > limits::kMostArrayEntries || (context->tensors_size > 0 && !plausible(context->tensors))) {
    return mismatch("tensors");
  }
  for (size_t i = 0; i < context->tensors_size; ++i) {
    const Status status = check_tensor(context->tensors[i]);
    if (!status.ok()) return mismatch(status.text() + " of tensor " + std::to_string(i));
  }
  TfLiteIntArray* plan = nullptr;
  if (context->GetExecutionPlan(context, &plan) != kTfLiteOk || !plausible_array(plan)) {
    return mismatch("execution plan");
  }
  for (int i = 0; i < plan->size; ++i) {
    TfLiteNode* node = nullptr;
    TfLiteRegistration* registration = nullptr;
    if (context->GetNodeAndRegistration(context, plan->data[i], &node, &registration) != kTfLiteOk || !plausible(node) ||
        !plausible(registration)) {
      return mismatch("node " + std::to_string(plan->data[i]));
    }
    for (const TfLiteIntArray* array : {node->inputs, node->outputs}) {
      if (!plausible_array(array)) return mismatch("tensors of node " + std::to_string(plan->data[i]));
      for (int j = 0; j < array->size; ++j) {
        if (array->data[j] < kTfLiteOptionalTensor || array->data[j] >= static_cast<int64_t>(context->tensors_size)) {
          return mismatch("a tensor of node " + std::to_string(plan->data[i]));
        }
      }
    }
    if (node->custom_initial_data_size < 0) return mismatch("options of node " + std::to_string(plan->data[i]));
    if (registration->builtin_code < 0 || registration->builtin_code > kMostOperator) {
      return mismatch("operator of node " + std::to_string(plan->data[i]));
    }
  }
  return {};
}

}  // namespace bduo
