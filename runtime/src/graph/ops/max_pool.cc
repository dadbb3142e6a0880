// MAX_POOL_2D of numbers, which may become a part of the binary convolution before it.
#include "graph/ops/builtin.h"
#include "graph/ops/list.h"
#include "graph/ops/options.h"

namespace bduo {
namespace {

class MaxPool : public BuiltinOperator {
 public:
  MaxPool(const SlidingWindow& window, const ChannelFunction& activation) : window_(window), activation_(activation) {}

  static Status read(const NodeSource& node, std::shared_ptr<const Operator>* op) {
    const auto& params = *static_cast<const TfLitePoolParams*>(node.host.builtin_data);
    SlidingWindow window;
    window.size.height = params.filter_height;
    window.size.width = params.filter_width;
    window.size.stride_height = params.stride_height;
    window.size.stride_width = params.stride_width;
    window.same = params.padding == kTfLitePaddingSame;
    const std::optional<Activation> activation = to_activation(params.activation);
    if (node.inputs.size() != 1 || !window.valid() || !activation) return {};
    if (params.padding != kTfLitePaddingSame && params.padding != kTfLitePaddingValid) return {};
    ChannelFunction function;
    function.input = node.inputs[0];
    function.operation.activation = *activation;
    *op = std::make_shared<const MaxPool>(window, function);
    return {};
  }

  std::optional<ChannelFunction> channel_function() const override { return activation_; }
  std::optional<SlidingWindow> max_pool() const override { return window_; }

 private:
  SlidingWindow window_;
  ChannelFunction activation_;
};

}  // namespace

namespace ops {
extern const OperatorType max_pool{"MAX_POOL_2D", kTfLiteBuiltinMaxPool2d, MaxPool::read};
}  // namespace ops

}  // namespace bduo
