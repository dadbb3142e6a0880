// Questions about the tensors of a host that check_host() has passed.
#include "graph/tensors.h"

#include "file_limits.h"

namespace bduo {

bool is_constant(const TfLiteTensor& tensor) {
  return tensor.allocation_type == kTfLiteMmapRo && tensor.data && tensor.dims && !tensor.sparsity;
}

std::vector<int32_t> dims_of(const TfLiteTensor& tensor) {
  if (!tensor.dims) return {};
  return {tensor.dims->data, tensor.dims->data + tensor.dims->size};
}

int32_t channels_of(const TfLiteTensor& tensor) {
  return tensor.dims && tensor.dims->size > 0 ? tensor.dims->data[tensor.dims->size - 1] : 0;
}

std::optional<int64_t> rows_of(const std::vector<int32_t>& dims) {
  if (dims.empty()) return {};
  int64_t rows = 1, bound = 1;
  for (size_t i = 0; i < dims.size(); ++i) {
    if (dims[i] < 0 || dims[i] > limits::kMostElements / bound) return {};
    if (dims[i] > 0) bound *= dims[i];  // The bound holds for the product even where another dimension is 0.
    if (i + 1 < dims.size()) rows *= dims[i];
  }
  return rows;
}

std::optional<int64_t> bytes_of(const std::vector<int32_t>& dims, int type) {
  const std::optional<int64_t> rows = rows_of(dims);
  const int64_t elements = rows ? *rows * dims.back() : 0;
  if (elements == 0) return {};
  return elements * (type == kTfLiteFloat32 || type == kTfLiteInt32 ? 4 : 1);
}

std::optional<ConstantRow> constant_row(const TfLiteTensor& tensor) {
  if (tensor.type != kTfLiteFloat32 || !is_constant(tensor)) return {};
  for (int i = 0; i + 1 < tensor.dims->size; ++i) {
    if (tensor.dims->data[i] != 1) return {};
  }
  const int32_t count = tensor.dims->size ? channels_of(tensor) : 1;
  if (count <= 0) return {};
  return ConstantRow{static_cast<const float*>(tensor.data), count};
}

}  // namespace bduo
