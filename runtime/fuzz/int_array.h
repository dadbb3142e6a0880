// TFLite's arrays of integers, which are made with malloc and freed with free, as a real host does.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <vector>

#include "abi/tflite.h"

namespace bduo::fuzz {

inline TfLiteIntArray* new_array(const std::vector<int>& values) {
  auto* array = static_cast<TfLiteIntArray*>(std::malloc(sizeof(TfLiteIntArray) + values.size() * sizeof(int)));
  array->size = static_cast<int>(values.size());
  std::copy(values.begin(), values.end(), array->data);
  return array;
}

inline bool equal(const TfLiteIntArray& a, const TfLiteIntArray& b) { return std::equal(a.data, a.data + a.size, b.data, b.data + b.size); }

}  // namespace bduo::fuzz
