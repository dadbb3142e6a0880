// ADD, SUB and MUL: with a constant they may become a part of an LceQuantize after them; an ADD of two tensors of the
// binary convolution before it.
#include "graph/ops/builtin.h"
#include "graph/ops/list.h"
#include "graph/ops/options.h"

namespace bduo {
namespace {

class Arithmetic : public BuiltinOperator {
 public:
  Arithmetic(bool is_sum, const std::optional<ChannelFunction>& function) : is_sum_(is_sum), function_(function) {}

  // `type` is the operation where the second operand is the constant, `reversed` where the first one is.
  template <ChannelOperation::Type type, ChannelOperation::Type reversed>
  static Status read(const NodeSource& node, std::shared_ptr<const Operator>* op) {
    const auto& params = *static_cast<const TfLiteArithmeticParams*>(node.host.builtin_data);
    const std::optional<Activation> activation = to_activation(params.activation);
    if (node.inputs.size() != 2 || !activation) return {};
    const bool is_sum = type == ChannelOperation::kAdd && *activation == Activation::kNone;
    *op = std::make_shared<const Arithmetic>(is_sum, function(node, *activation, {type, reversed}));
    return {};
  }

  std::optional<ChannelFunction> channel_function() const override { return function_; }
  bool is_sum() const override { return is_sum_; }

 private:
  static std::optional<ChannelFunction> function(const NodeSource& node, Activation activation, const ChannelOperation::Type (&types)[2]) {
    for (size_t side : {0, 1}) {
      const TfLiteTensor& x = node.input(side);
      const TfLiteTensor& constant = node.input(1 - side);
      const std::optional<ConstantRow> row = constant_row(constant);
      if (!row || is_constant(x) || !x.dims || dims_of(x) != dims_of(node.output())) continue;
      if (constant.dims->size > x.dims->size || (row->count != 1 && row->count != channels_of(x))) continue;
      ChannelFunction result;
      result.input = node.inputs[side];
      result.operation.type = types[side];
      result.operation.values = row->values;
      result.operation.per_channel = row->count != 1;
      result.operation.activation = activation;
      return result;
    }
    return {};
  }

  bool is_sum_;
  std::optional<ChannelFunction> function_;
};

}  // namespace

namespace ops {
using Operation = ChannelOperation;
extern const OperatorType add{"ADD", kTfLiteBuiltinAdd, Arithmetic::read<Operation::kAdd, Operation::kAdd>};
extern const OperatorType subtract{"SUB", kTfLiteBuiltinSub, Arithmetic::read<Operation::kSubtract, Operation::kSubtractFrom>};
extern const OperatorType multiply{"MUL", kTfLiteBuiltinMul, Arithmetic::read<Operation::kMultiply, Operation::kMultiply>};
}  // namespace ops

}  // namespace bduo
