// CONCATENATION along the channels, which may become a part of an LceQuantize after it.
#include "graph/ops/builtin.h"
#include "graph/ops/list.h"

namespace bduo {
namespace {

class Concatenation : public BuiltinOperator {
 public:
  static Status read(const NodeSource& node, std::shared_ptr<const Operator>* op) {
    const auto& params = *static_cast<const TfLiteConcatenationParams*>(node.host.builtin_data);
    const int rank = static_cast<int>(dims_of(node.output()).size());
    if (node.inputs.size() < 2 || params.activation != kTfLiteActNone || rank == 0) return {};
    if (params.axis == -1 || params.axis == rank - 1) *op = std::make_shared<const Concatenation>();
    return {};
  }

  bool concatenates_channels() const override { return true; }
};

}  // namespace

namespace ops {
extern const OperatorType concatenation{"CONCATENATION", kTfLiteBuiltinConcatenation, Concatenation::read};
}  // namespace ops

}  // namespace bduo
