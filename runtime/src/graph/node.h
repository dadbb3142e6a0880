// A node of the host's graph as far as this library takes part in it, read and checked.
#pragma once

#include <memory>
#include <vector>

#include "abi/tflite.h"
#include "graph/operator.h"
#include "status.h"

namespace bduo {

struct Node {
  int index = -1;                      // in the host's graph
  const char* name = "other";          // LCE's or TFLite's name of the operator, if there is one
  std::vector<int> inputs, outputs;    // tensors
  std::shared_ptr<const Operator> op;  // nullptr: an operator that this library takes no part in
};

// Reads a node, which check_host() has passed. Operators of LCE must be well-formed; builtin ones that are not of a
// form that may be fused are left without an Operator.
Status read_node(TfLiteContext* context, int index, Node* node);

}  // namespace bduo
