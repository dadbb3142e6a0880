// LceQuantize: numbers to bits, 1 where they are negative.
#include "conv/bits.h"
#include "graph/ops/list.h"

namespace bduo {
namespace {

class PreparedQuantize : public PreparedOperator {
 public:
  PreparedQuantize(const TfLiteTensor& input, int64_t rows, int32_t channels)
      : type_(input.type), zero_point_(input.params.zero_point), rows_(rows), channels_(channels) {}

  void run(const void* const* inputs, void* output, ThreadPool& pool) override {
    const void* numbers = inputs[0];
    auto* bits = static_cast<int32_t*>(output);
    switch (type_) {
      case kTfLiteFloat32: bduo::quantize(static_cast<const float*>(numbers), rows_, channels_, bits, pool); break;
      case kTfLiteInt8: bduo::quantize(static_cast<const int8_t*>(numbers), zero_point_, rows_, channels_, bits, pool); break;
      default: bduo::quantize(static_cast<const bool*>(numbers), rows_, channels_, bits, pool);
    }
  }

 private:
  int type_;
  int32_t zero_point_;
  int64_t rows_;
  int32_t channels_;
};

class Quantize : public Operator {
 public:
  Quantize(int input, bool reads_floats) : input_(input), reads_floats_(reads_floats) {}

  static Status read(const NodeSource& node, std::shared_ptr<const Operator>* op) {
    if (node.inputs.size() != 1 || node.outputs.size() != 1 || !node.has(0)) {
      return Status::error("it has not one input and one output");
    }
    if (node.output().type != kTfLiteInt32) return Status::error("its bits are not packed in int32");
    const int type = node.input(0).type;
    if (type != kTfLiteFloat32 && type != kTfLiteInt8 && type != kTfLiteBool) {
      return Status::error("its numbers are not float32, int8 or bool");
    }
    *op = std::make_shared<const Quantize>(node.inputs[0], type == kTfLiteFloat32);
    return {};
  }

  Status prepare(const Preparation& preparation, std::unique_ptr<PreparedOperator>* prepared) const override {
    const std::vector<int32_t>& dims = preparation.inputs[0].dims;
    auto quantize = std::make_unique<PreparedQuantize>(tensor_of(preparation.context, input_), *rows_of(dims), dims.back());
    quantize->shape.dims = dims;
    quantize->shape.dims.back() = words_of(dims.back());
    *prepared = std::move(quantize);
    return {};
  }

  bool compares_with_zero() const override { return reads_floats_; }

 private:
  int input_;
  bool reads_floats_;
};

}  // namespace

namespace ops {
extern const OperatorType quantize{"LceQuantize", kTfLiteBuiltinCustom, Quantize::read};
}  // namespace ops

}  // namespace bduo
