// The public face of a binary convolution.
#include "conv/binary_conv.h"

#include "conv/plan.h"
#include "conv/scaling.h"

namespace bduo {
namespace {

// Output channels whose weights are negated when they are packed.
const std::vector<uint8_t>& negated_channels(const CompareStage& stage) { return stage.negated; }
template <class Stage>
std::vector<uint8_t> negated_channels(const Stage&) {
  return {};
}

}  // namespace

BinaryConv::BinaryConv() = default;
BinaryConv::~BinaryConv() = default;
BinaryConv::BinaryConv(BinaryConv&&) noexcept = default;
BinaryConv& BinaryConv::operator=(BinaryConv&&) noexcept = default;

CompareStage CompareStage::from_lce_thresholds(const ConvShape& shape, const int32_t* thresholds) {
  CompareStage stage;
  stage.threshold.resize(static_cast<size_t>(shape.channels_out));
  // (K - dot) / 2 > t means dot < K - 2 t.
  for (size_t c = 0; c < stage.threshold.size(); ++c) {
    stage.threshold[c] = saturated(shape.depth() - 2 * int64_t{thresholds[c]});
  }
  return stage;
}

template <class Stage>
Status BinaryConv::prepare_any(const ConvDefinition& definition, const Stage& stage, int threads, const char* kernel) {
  plan_.reset();
  auto plan = std::make_unique<Plan>();
  plan->shape = plan->stage.shape = definition.shape;
  if (Status status = definition.shape.validate(); !status.ok()) return status;
  if (Status status = plan->stage.prepare(stage); !status.ok()) return status;
  const std::vector<uint8_t>& negated = negated_channels(stage);  // the filter refers to it
  const Filter filter(definition.shape, definition.filter, negated);
  if (Status status = plan->prepare(definition.input, filter, definition.filter_words, threads, kernel); !status.ok()) return status;
  plan_ = std::move(plan);
  return {};
}

Status BinaryConv::prepare(const ConvDefinition& definition, const FloatStage& stage, int threads, const char* kernel) {
  return prepare_any(definition, stage, threads, kernel);
}

Status BinaryConv::prepare(const ConvDefinition& definition, const Int8Stage& stage, int threads, const char* kernel) {
  return prepare_any(definition, stage, threads, kernel);
}

Status BinaryConv::prepare(const ConvDefinition& definition, const CompareStage& stage, int threads, const char* kernel) {
  return prepare_any(definition, stage, threads, kernel);
}

int64_t BinaryConv::input_bytes() const {
  return plan_->patches.input_pixel * plan_->shape.batch * plan_->shape.input_height * plan_->shape.input_width;
}

int64_t BinaryConv::output_bytes() const { return plan_->tasks.bands.rows * plan_->stage.width() * plan_->stage.pixel_bytes(); }

const ChannelLayout& BinaryConv::output_layout() const { return plan_->stage.output_layout; }

const char* BinaryConv::kernel() const { return plan_ != nullptr ? plan_->kernel->name : ""; }

void BinaryConv::run(const int32_t* input, void* output, ThreadPool& pool, const float* residual) {
  const uint8_t* bits = reinterpret_cast<const uint8_t*>(input);
  pool.run(plan_->tasks.count(), [&](int64_t task, int thread) {
    plan_->run_task(bits, static_cast<uint8_t*>(output), residual, task, plan_->scratch[static_cast<size_t>(thread)]);
  });
}

}  // namespace bduo
