// The operators that this library knows: by which name or number a file has them and who reads them.
#pragma once

#include <memory>
#include <vector>

#include "abi/tflite.h"
#include "graph/operator.h"
#include "graph/tensors.h"
#include "status.h"

namespace bduo {

// A node whose tensors, of the numbers here, are checked by the operator's reader. Of a custom operator every output
// may be written; a builtin one has float32 inputs, options, and one float32 output that may be written.
struct NodeSource {
  TfLiteContext* context;
  const TfLiteNode& host;
  const std::vector<int>& inputs;
  const std::vector<int>& outputs;

  bool has(size_t input) const { return input < inputs.size() && inputs[input] >= 0; }
  const TfLiteTensor& input(size_t i) const { return tensor_of(context, inputs[i]); }
  const TfLiteTensor& output(size_t i = 0) const { return tensor_of(context, outputs[i]); }
};

struct OperatorType {
  const char* name;  // by which the file has a custom operator; of a builtin one TFLite's name, for reports
  int builtin;       // TFLite's number, kTfLiteBuiltinCustom for LCE's operators
  // Gives the operator, or fails if one of LCE's is malformed. A builtin one of a form that is not fused is no failure:
  // it gives nullptr.
  Status (*read)(const NodeSource& node, std::shared_ptr<const Operator>* op);
};

// The type of a host's node, nullptr if it is none of ours. `custom_name` is that of a custom operator.
const OperatorType* find_operator_type(int builtin, const char* custom_name);

}  // namespace bduo
