// The public face of a binary convolution: its stages checked and turned into what the kernels take.
#include "conv/binary_conv.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "conv/plan.h"
#include "file_limits.h"

namespace bduo {
namespace {

int32_t saturated(int64_t x) {
  return static_cast<int32_t>(
      std::min<int64_t>(std::max<int64_t>(x, std::numeric_limits<int32_t>::min()), std::numeric_limits<int32_t>::max()));
}

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

Status OutputStage::prepare_scaling(Activation activation, const std::vector<float>& multipliers, const std::vector<float>& biases,
                                    double scale, double zero_point) {
  const size_t channels = static_cast<size_t>(shape.channels_out);
  if (multipliers.size() != channels || biases.size() != channels) {
    return Status::error("multiplier and bias are not one an output channel");
  }
  const OutputScaling output_scaling{activation, shape.depth(), scale, zero_point};
  multiplier.resize(channels);
  bias.resize(channels);
  for (size_t c = 0; c < channels; ++c) {
    const ChannelScaling scaling = output_scaling.channel(multipliers[c], biases[c]);
    clamp_min = scaling.clamp_min;
    clamp_max = scaling.clamp_max;
    multiplier[c] = scaling.multiplier;
    bias[c] = scaling.bias;
  }
  return {};
}

Status OutputStage::prepare(const CompareStage& stage) {
  output = Output::kBits;
  if (stage.copies < 1 || stage.copies > limits::kMostCopies) return Status::error("copies are not positive or too many");
  const int64_t size = int64_t{stage.copies} * shape.channels_out;
  if (static_cast<int64_t>(stage.threshold.size()) != size) return Status::error("thresholds are not one a channel and copy");
  if (!stage.inverted.empty() && static_cast<int64_t>(stage.inverted.size()) != size) {
    return Status::error("directions are not one a channel and copy");
  }
  if (!stage.negated.empty() && static_cast<int64_t>(stage.negated.size()) != shape.channels_out) {
    return Status::error("signs are not one a channel");
  }
  if (stage.pooled) {
    if (Status status = stage.pool.validate(); !status.ok()) return Status::error("max pool: " + status.text());
    if (stage.pool.batch != shape.batch || stage.pool.input_height != shape.output_height || stage.pool.input_width != shape.output_width) {
      return Status::error("the max pool's input is not the convolution's output");
    }
  }
  pooled = stage.pooled;
  pool = stage.pool;
  copies = stage.copies;
  output_layout = ChannelLayout::copied(copies, shape.channels_out);
  if (output_layout.words == 0) return Status::error("the output is too large");
  padded_channels = (int64_t{shape.channels_out} + kBlock - 1) / kBlock * kBlock;
  threshold.assign(static_cast<size_t>(copies * padded_channels), std::numeric_limits<int32_t>::max());
  inverted.assign(static_cast<size_t>(copies * padded_channels / 8), 0);
  for (int64_t k = 0; k < copies; ++k) {
    for (int64_t c = 0; c < shape.channels_out; ++c) {
      const size_t from = static_cast<size_t>(k * shape.channels_out + c), to = static_cast<size_t>(k * padded_channels + c);
      // dot < t means K - t < K - dot, and the right-hand side is twice the accumulator.
      const int64_t bound = shape.depth() - stage.threshold[from];
      threshold[to] = saturated(shape.zero_padding ? bound : bound >> 1);
      if (!stage.inverted.empty() && stage.inverted[from] != 0) {
        inverted[to / 8] = static_cast<uint8_t>(inverted[to / 8] | 1 << to % 8);
      }
    }
  }
  return {};
}

Status OutputStage::prepare(const FloatStage& stage) {
  output = Output::kFloat;
  return prepare_scaling(stage.activation, stage.multiplier, stage.bias, 1, 0);
}

Status OutputStage::prepare(const Int8Stage& stage) {
  output = Output::kInt8;
  if (!(stage.scale > 0) || !std::isfinite(stage.scale)) {
    return Status::error("the scale of the int8 output is not positive and finite");
  }
  return prepare_scaling(stage.activation, stage.multiplier, stage.bias, stage.scale, stage.zero_point);
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
