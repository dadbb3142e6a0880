// The comparison that fusion.cc makes of float operations and an LceQuantize: floats to bits of several copies, in one
// pass. No file has it.
#include "graph/ops/compare.h"

namespace bduo {
namespace {

class PreparedCompare : public PreparedOperator {
 public:
  PreparedCompare(const ThresholdQuantize& thresholds, int64_t rows) : thresholds_(thresholds), rows_(rows) {}

  void run(const void* const* inputs, void* output, ThreadPool& pool) override {
    thresholds_.run(static_cast<const float*>(inputs[0]), rows_, static_cast<int32_t*>(output), pool);
  }

 private:
  const ThresholdQuantize& thresholds_;  // the operator's, which outlives this
  int64_t rows_;
};

class Compare : public Operator {
 public:
  explicit Compare(ThresholdQuantize thresholds) : thresholds_(std::move(thresholds)) {}

  Status prepare(const Preparation& preparation, std::unique_ptr<PreparedOperator>* prepared) const override {
    const std::vector<int32_t>& input = preparation.inputs[0].dims;
    if (input.back() != thresholds_.channels) {
      return Status::error("its input has not as many channels as the constants compared with");
    }
    auto compare = std::make_unique<PreparedCompare>(thresholds_, *rows_of(input));
    compare->shape.dims = input;
    compare->shape.layout = ChannelLayout::copied(thresholds_.copies, thresholds_.channels);
    compare->shape.dims.back() = compare->shape.layout.words;
    *prepared = std::move(compare);
    return {};
  }

 private:
  ThresholdQuantize thresholds_;
};

}  // namespace

std::shared_ptr<const Operator> make_compare(const Comparison& comparison) {
  std::optional<ThresholdQuantize> thresholds = fold_into_floats(comparison);
  if (!thresholds) return nullptr;
  return std::make_shared<const Compare>(std::move(*thresholds));
}

}  // namespace bduo
