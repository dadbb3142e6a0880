// Operators and tensors of the host's graph, as far as this library takes part in them, read and checked.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "abi/tflite.h"
#include "conv/binary_conv.h"
#include "conv/shape.h"

namespace bduo {

enum class Kind {
  kOther,  // the host's
  kQuantize,
  kDequantize,
  kConv,
  kBitPool,
  // Builtin operators on float32 that may be fused with those above.
  kAdd,
  kSub,
  kMul,
  kConcat,
  kMaxPool,
};

const char* kind_name(Kind kind);  // LCE's or TFLite's name of the operator

struct Node {
  int index = -1;  // in the host's graph
  Kind kind = Kind::kOther;
  std::vector<int> inputs, outputs;  // tensors; of kOther for all that is counted only

  // Of kConv, kBitPool and kMaxPool. The padding of `window` follows from the input's size.
  Window window;
  bool same = false;

  // Of kConv.
  int32_t channels_in = 0, channels_out = 0, groups = 1;
  bool zero_padding = false;

  Activation activation = Activation::kNone;  // fused: of kConv, arithmetic and kMaxPool
};

// Reads a node, which check_host() has passed. Operators of LCE must be well-formed (else `error` says what is wrong);
// builtin ones that are not of a form that may be fused become kOther.
Node read_node(TfLiteContext* context, int index, std::string* error);

// Tensors by number, of a host that check_host() has passed.
inline const TfLiteTensor& tensor_of(TfLiteContext* context, int id) { return context->tensors[id]; }
bool is_constant(const TfLiteTensor& tensor);
std::vector<int32_t> dims_of(const TfLiteTensor& tensor);
// The last dimension, 0 for a scalar.
int32_t channels_of(const TfLiteTensor& tensor);
// The product of all dimensions but the last. False if one is negative or the product with the last exceeds 2^40.
bool count_rows(const std::vector<int32_t>& dims, int64_t* rows);
// The floats of a constant with the shape [.., 1, count], nullptr if it is none.
const float* constant_row(const TfLiteTensor& tensor, int32_t* count);

}  // namespace bduo
