// What to run for a set of operators: which are fused into one pass, and which are better left to the host.
#pragma once

#include <string>
#include <vector>

#include "graph/chain.h"
#include "graph/node.h"

namespace bduo {

// One pass over the data. Tensors are the host's numbers.
struct Step {
  enum Type {
    kQuantize,    // numbers to bits
    kDequantize,  // bits to numbers
    kConv,        // bits to float32, int8 or bits, the latter as the file says or compared
    kBitPool,
    kCompare,     // float32 to bits of several copies
  } type;
  std::vector<size_t> nodes;  // positions in Plan::nodes of all it stands for, in order; run where the last one stood
  size_t main = 0;            // of these, the operator of LCE that gives the step its options (of kCompare the LceQuantize)
  int input = -1, output = -1;
  int residual = -1;    // kConv: added to the float output
  bool compared = false;  // kConv: `compare` is its output stage
  size_t pool = 0;        // kConv with compare.pooled: the max pool's position
  CompareStage compare;
  ThresholdQuantize threshold;  // kCompare
};

struct Plan {
  std::vector<Node> nodes;
  std::vector<Step> steps;            // in an order in which they can run
  std::vector<size_t> left;  // positions of builtin operators that no step stands for: the host's
};

// Recognises between the nodes, which are in an order in which they can run:
//   LceBconv2d -> [operations with constants] -> [MAX_POOL_2D] -> [operations, CONCATENATION of several] -> LceQuantize
//   float32 -> [operations, CONCATENATION of several] -> LceQuantize
//   LceBconv2d -> ADD of a tensor of the same shape
// where no tensor between is read elsewhere, neither by another node nor as one of `outputs`. Every other operator of LCE is a
// step of its own. Depends on nothing else, so the plan of a partition may be made before the host makes the partition.
Plan make_plan(TfLiteContext* context, std::vector<Node> nodes, const std::vector<int>& outputs);

}  // namespace bduo
