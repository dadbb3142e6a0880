// LceBMaxPool2d: the max pool of bits.
#include "conv/bits.h"
#include "graph/ops/list.h"
#include "graph/ops/options.h"

namespace bduo {
namespace {

class PreparedBitPool : public PreparedOperator {
 public:
  PreparedBitPool(const PoolShape& pool, int32_t words) : pool_(pool), words_(words) {}

  void run(const void* const* inputs, void* output, ThreadPool& pool) override {
    bit_max_pool(pool_, words_, static_cast<const int32_t*>(inputs[0]), static_cast<int32_t*>(output), pool);
  }

 private:
  PoolShape pool_;
  int32_t words_;
};

class BitPool : public Operator {
 public:
  explicit BitPool(const SlidingWindow& window) : window_(window) {}

  static Status read(const NodeSource& node, std::shared_ptr<const Operator>* op) {
    SlidingWindow window;
    int32_t padding = 0;
    Status status = Options(node.host)
                        .read("filter_height", &window.size.height)
                        .read("filter_width", &window.size.width)
                        .read("stride_height", &window.size.stride_height)
                        .read("stride_width", &window.size.stride_width)
                        .read("padding", &padding)
                        .status();
    if (status.ok()) status = to_padding(padding, &window.same);
    if (!status.ok()) return status;
    if (!window.valid()) return Status::error("a size or stride is not positive");
    if (node.inputs.size() != 1 || node.outputs.size() != 1 || !node.has(0)) {
      return Status::error("it has not one input and one output");
    }
    if (node.input(0).type != kTfLiteInt32 || node.output().type != kTfLiteInt32) {
      return Status::error("it does not read and write packed bits (int32)");
    }
    *op = std::make_shared<const BitPool>(window);
    return {};
  }

  Status prepare(const Preparation& preparation, std::unique_ptr<PreparedOperator>* prepared) const override {
    const TensorShape& input = preparation.inputs[0];
    if (input.dims.size() != 4) return Status::error("its input does not have four dimensions");
    PoolShape pool;
    if (Status status = window_.pool_over(input.dims, &pool); !status.ok()) return status;
    auto bit_pool = std::make_unique<PreparedBitPool>(pool, input.dims[3]);
    bit_pool->shape = input;
    bit_pool->shape.dims[1] = pool.output_height;
    bit_pool->shape.dims[2] = pool.output_width;
    *prepared = std::move(bit_pool);
    return {};
  }

  bool keeps_layout() const override { return true; }

 private:
  SlidingWindow window_;
};

}  // namespace

namespace ops {
extern const OperatorType bit_pool{"LceBMaxPool2d", kTfLiteBuiltinCustom, BitPool::read};
}  // namespace ops

}  // namespace bduo
