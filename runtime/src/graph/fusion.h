// Fusion: which operators are run together in one pass over the data, and which are better left to the host.
#pragma once

#include <memory>
#include <vector>

#include "graph/node.h"

namespace bduo {

// One pass over the data. Tensors are the host's numbers.
struct Step {
  std::vector<size_t> nodes;  // positions in FusedGraph::nodes of all it stands for, in order; it runs where the last one stood
  size_t main = 0;            // of these, the operator of LCE that errors are reported of
  std::shared_ptr<const Operator> op;
  std::vector<int> inputs;  // tensors it is run with, 1 to kMostInputs
  int output = -1;
  int overwritable = -1;  // an input whose memory the output may take, as each of its numbers is read just before that
                          // place is written

  static constexpr size_t kMostInputs = 2;
};

struct FusedGraph {
  std::vector<Node> nodes;
  std::vector<Step> steps;   // in an order in which they can run
  std::vector<size_t> left;  // positions of builtin operators that no step stands for: the host's
};

// Recognises between the nodes, which are in an order in which they can run:
//   LceBconv2d -> [operations with constants] -> [MAX_POOL_2D] -> [operations, CONCATENATION of several] -> LceQuantize
//   float32 -> [operations, CONCATENATION of several] -> LceQuantize
//   LceBconv2d -> ADD of a tensor of the same shape
// where no tensor between is read elsewhere, neither by another node nor as one of `outputs`. Every other operator of
// LCE is a step of its own. The result depends on nothing else, so that of a partition may be had before the host makes
// the partition.
FusedGraph fuse(TfLiteContext* context, std::vector<Node> nodes, const std::vector<int>& outputs);

}  // namespace bduo
