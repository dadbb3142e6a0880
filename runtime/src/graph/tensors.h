// Questions about the tensors of a host that check_host() has passed.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "abi/tflite.h"

namespace bduo {

inline const TfLiteTensor& tensor_of(TfLiteContext* context, int id) { return context->tensors[id]; }
bool is_constant(const TfLiteTensor& tensor);
std::vector<int32_t> dims_of(const TfLiteTensor& tensor);
// The last dimension, 0 for a scalar.
int32_t channels_of(const TfLiteTensor& tensor);

// How often the last dimension stands in a tensor: the product of all others. Nothing if there is no dimension, if one
// is negative, or if the product of all exceeds limits::kMostElements.
std::optional<int64_t> rows_of(const std::vector<int32_t>& dims);
// Bytes of a tensor of a type that this library reads or writes. Nothing if rows_of() says so or if there are no
// elements.
std::optional<int64_t> bytes_of(const std::vector<int32_t>& dims, int type);

// A constant float32 tensor with the shape [1, .., 1, count] or without any dimension.
struct ConstantRow {
  const float* values;
  int32_t count;
};
std::optional<ConstantRow> constant_row(const TfLiteTensor& tensor);

}  // namespace bduo
