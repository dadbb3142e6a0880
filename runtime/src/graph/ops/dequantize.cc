// LceDequantize: bits to numbers, -1 and +1 or what stands for them.
#include "conv/bits.h"
#include "graph/ops/list.h"

namespace bduo {
namespace {

class PreparedDequantize : public PreparedOperator {
 public:
  // The numbers of bits 1 and 0 are used for int8 only.
  PreparedDequantize(int type, int64_t rows, int32_t channels, int8_t one, int8_t zero)
      : type_(type), rows_(rows), channels_(channels), one_(one), zero_(zero) {}

  void run(const void* const* inputs, void* output, ThreadPool& pool) override {
    const auto* bits = static_cast<const int32_t*>(inputs[0]);
    switch (type_) {
      case kTfLiteFloat32: bduo::dequantize(bits, rows_, channels_, -1.0f, 1.0f, static_cast<float*>(output), pool); break;
      case kTfLiteInt8: bduo::dequantize(bits, rows_, channels_, one_, zero_, static_cast<int8_t*>(output), pool); break;
      default: bduo::dequantize(bits, rows_, channels_, false, true, static_cast<bool*>(output), pool);
    }
  }

 private:
  int type_;
  int64_t rows_;
  int32_t channels_;
  int8_t one_, zero_;
};

class Dequantize : public Operator {
 public:
  static Status read(const NodeSource& node, std::shared_ptr<const Operator>* op) {
    if (node.inputs.size() != 1 || node.outputs.size() != 1 || !node.has(0)) {
      return Status::error("it has not one input and one output");
    }
    if (node.input(0).type != kTfLiteInt32) return Status::error("its bits are not packed in int32");
    const int type = node.output().type;
    if (type != kTfLiteFloat32 && type != kTfLiteInt8 && type != kTfLiteBool) {
      return Status::error("its numbers are not float32, int8 or bool");
    }
    *op = std::make_shared<const Dequantize>();
    return {};
  }

  Status prepare(const Preparation& preparation, std::unique_ptr<PreparedOperator>* prepared) const override {
    const std::vector<int32_t>& dims = preparation.inputs[0].dims;
    const TfLiteTensor& output = tensor_of(preparation.context, preparation.output);
    const int32_t channels = channels_of(output);
    if (words_of(channels) != dims.back()) {
      return Status::error("its output does not have as many channels as its input");
    }
    int8_t one = 0, zero = 0;
    if (output.type == kTfLiteInt8) {
      Status status = int8_values(output.params.scale, output.params.zero_point, &one, &zero);
      if (!status.ok()) return status;
    }
    auto dequantize = std::make_unique<PreparedDequantize>(output.type, *rows_of(dims), channels, one, zero);
    dequantize->shape.dims = dims;
    dequantize->shape.dims.back() = channels;
    *prepared = std::move(dequantize);
    return {};
  }
};

}  // namespace

namespace ops {
extern const OperatorType dequantize{"LceDequantize", kTfLiteBuiltinCustom, Dequantize::read};
}  // namespace ops

}  // namespace bduo
