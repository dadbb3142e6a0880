// A bounds-checked reader of what the fuzzing host needs of a .tflite file. It notes where each field lies, for the
// mutator.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "abi/tflite.h"

namespace bduo::fuzz {

struct Field {
  enum Kind { kIndex, kSize, kEnum, kFloat, kLong, kOptions, kData, kLength } kind;
  size_t at, count;  // There are `count` scalars of width() bytes from `at` on. For kLength see read_model().

  size_t width() const { return kind == kEnum || kind == kOptions ? 1 : kind == kLong ? 8 : 4; }
};

struct Bytes {
  const uint8_t* data = nullptr;
  size_t size = 0;
};

struct ModelTensor {
  std::vector<int32_t> shape;
  int type = kTfLiteNoType;
  Bytes content;  // empty if the tensor is not a constant
  bool variable = false, sparse = false;
  float scale = 0;
  int32_t zero_point = 0;
};

struct ModelOperator {
  int code = 0;
  std::string custom;  // name of a custom operator
  std::vector<int32_t> inputs, outputs;
  Bytes options;  // the FlexBuffer of a custom operator
  union {
    TfLiteArithmeticParams arithmetic;
    TfLiteConcatenationParams concatenation;
    TfLitePoolParams pool{};
  } builtin;  // the options of ADD, SUB, MUL, CONCATENATION and MAX_POOL_2D
};

struct Model {
  std::vector<ModelTensor> tensors;
  std::vector<ModelOperator> operators;
  std::vector<int32_t> inputs, outputs;
};

// Reads the first subgraph. It returns false if a TFLite host would refuse the file, as far as that shows without
// running it. The model refers to the file's bytes. With `fields`, a constant whose length is not that of its shape is
// no reason to refuse but a field kLength: `at` is where the length lies, `count` what it should be.
bool read_model(const uint8_t* file, size_t size, Model* model, std::vector<Field>* fields = nullptr);

// Bytes of an element, 0 if a tensor of this type has no fixed size.
size_t element_size(int type);
// Bytes of a tensor as TFLite computes them. It returns false on overflow, which most negative dimensions cause.
bool tensor_bytes(int type, const int* dims, size_t rank, size_t* bytes);

}  // namespace bduo::fuzz
