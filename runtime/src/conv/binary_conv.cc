// The public face of a binary convolution: its stages checked and turned into what the kernels take.
#include "conv/binary_conv.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "conv/plan.h"
#include "conv/status_of.h"
#include "file_limits.h"

namespace bduo {
namespace {

int32_t saturated(int64_t x) {
  return static_cast<int32_t>(std::min<int64_t>(std::max<int64_t>(x, std::numeric_limits<int32_t>::min()),
                                                std::numeric_limits<int32_t>::max()));
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

std::string BinaryConv::Plan::prepare_scaling(Activation activation, const std::vector<float>& multipliers,
                                              const std::vector<float>& biases, double scale, double zero_point) {
  const size_t channels = static_cast<size_t>(shape.channels_out);
  if (multipliers.size() != channels || biases.size() != channels) {
    return "multiplier and bias are not one an output channel";
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

std::string BinaryConv::Plan::prepare_stage(const CompareStage& stage) {
  output = Output::kBits;
  if (stage.copies < 1 || stage.copies > limits::kMostCopies) return "copies are not positive or too many";
  const int64_t size = int64_t{stage.copies} * shape.channels_out;
  if (static_cast<int64_t>(stage.threshold.size()) != size) return "thresholds are not one a channel and copy";
  if (!stage.inverted.empty() && static_cast<int64_t>(stage.inverted.size()) != size) {
    return "directions are not one a channel and copy";
  }
  if (!stage.negated.empty() && static_cast<int64_t>(stage.negated.size()) != shape.channels_out) {
    return "signs are not one a channel";
  }
  if (stage.pooled) {
    if (std::string error = stage.pool.validate(); !error.empty()) return "max pool: " + error;
    if (stage.pool.batch != shape.batch || stage.pool.input_height != shape.output_height ||
        stage.pool.input_width != shape.output_width) {
      return "the max pool's input is not the convolution's output";
    }
  }
  pooled = stage.pooled;
  pool = stage.pool;
  copies = stage.copies;
  output_layout = ChannelLayout::copied(copies, shape.channels_out);
  if (output_layout.words == 0) return "the output is too large";
  padded_channels = (int64_t{shape.channels_out} + kBlock - 1) / kBlock * kBlock;
  threshold.assign(static_cast<size_t>(copies * padded_channels), std::numeric_limits<int32_t>::max());
  inverted.assign(static_cast<size_t>(copies * padded_channels / 8), 0);
  for (int64_t k = 0; k < copies; ++k) {
    for (int64_t c = 0; c < shape.channels_out; ++c) {
      const size_t from = static_cast<size_t>(k * shape.channels_out + c),
                   to = static_cast<size_t>(k * padded_channels + c);
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

std::string BinaryConv::Plan::prepare_stage(const FloatStage& stage) {
  output = Output::kFloat;
  return prepare_scaling(stage.activation, stage.multiplier, stage.bias, 1, 0);
}

std::string BinaryConv::Plan::prepare_stage(const Int8Stage& stage) {
  output = Output::kInt8;
  if (!(stage.scale > 0) || !std::isfinite(stage.scale)) {
    return "the scale of the int8 output is not positive and finite";
  }
  return prepare_scaling(stage.activation, stage.multiplier, stage.bias, stage.scale, stage.zero_point);
}

template <class Stage>
Status BinaryConv::prepare_any(const ConvDefinition& definition, const Stage& stage, int threads, const char* kernel) {
  plan_.reset();
  auto plan = std::make_unique<Plan>();
  plan->shape = definition.shape;
  if (Status status = status_of(plan->shape.validate()); !status.ok()) return status;
  if (Status status = status_of(plan->prepare_stage(stage)); !status.ok()) return status;
  if (Status status = status_of(plan->prepare(definition.input, definition.filter, definition.filter_words,
                                              negated_channels(stage), threads, kernel));
      !status.ok()) {
    return status;
  }
  plan_ = std::move(plan);
  return {};
}

Status BinaryConv::prepare(const ConvDefinition& definition, const FloatStage& stage, int threads, const char* kernel) {
  return prepare_any(definition, stage, threads, kernel);
}

Status BinaryConv::prepare(const ConvDefinition& definition, const Int8Stage& stage, int threads, const char* kernel) {
  return prepare_any(definition, stage, threads, kernel);
}

Status BinaryConv::prepare(const ConvDefinition& definition, const CompareStage& stage, int threads,
                           const char* kernel) {
  return prepare_any(definition, stage, threads, kernel);
}

int64_t BinaryConv::input_bytes() const {
  return plan_->input_pixel * plan_->shape.batch * plan_->shape.input_height * plan_->shape.input_width;
}

int64_t BinaryConv::output_bytes() const {
  const int64_t pixels = plan_->rows * plan_->row_width();
  if (plan_->output == Output::kBits) return pixels * plan_->output_layout.words * 4;
  return pixels * plan_->shape.channels_out * (plan_->output == Output::kFloat ? 4 : 1);
}

const ChannelLayout& BinaryConv::output_layout() const { return plan_->output_layout; }

const char* BinaryConv::kernel() const { return plan_ != nullptr ? plan_->gemm->name : ""; }

void BinaryConv::run(const int32_t* input, void* output, ThreadPool& pool, const float* residual) {
  const uint8_t* bits = reinterpret_cast<const uint8_t*>(input);
  pool.run(plan_->bands * plan_->chunk_tasks, [&](int64_t task, int thread) {
    plan_->run_task(bits, static_cast<uint8_t*>(output), residual, task, plan_->scratch[static_cast<size_t>(thread)]);
  });
}

}  // namespace bduo
