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
  return static_cast<int32_t>(std::min<int64_t>(std::max<int64_t>(x, std::numeric_limits<int32_t>::min()), std::numeric_limits<int32_t>::max()));
}

}  // namespace

BinaryConv::BinaryConv() = default;
BinaryConv::~BinaryConv() = default;
BinaryConv::BinaryConv(BinaryConv&&) noexcept = default;
BinaryConv& BinaryConv::operator=(BinaryConv&&) noexcept = default;

CompareStage CompareStage::from_lce_thresholds(const ConvShape& shape, const int32_t* thresholds) {
  CompareStage stage;
  stage.threshold.resize(static_cast<size_t>(shape.channels_out));
  // (K - dot) / 2 > t is dot < K - 2 t.
  for (size_t c = 0; c < stage.threshold.size(); ++c) stage.threshold[c] = saturated(shape.depth() - 2 * int64_t{thresholds[c]});
  return stage;
}

std::string OutputStage::prepare_scaling(Activation activation, const std::vector<float>& multipliers, const std::vector<float>& biases,
                                              double scale, double zero_point) {
  const size_t channels = static_cast<size_t>(shape.channels_out);
  if (multipliers.size() != channels || biases.size() != channels) return "multiplier and bias are not one an output channel";
  const int64_t depth = shape.depth();
  // Of the dot product; then of twice the accumulator, which is the depth minus it.
  int64_t least = -depth, most = depth;
  if (activation == Activation::kRelu || activation == Activation::kRelu6) least = 0;
  if (activation == Activation::kRelu6) most = std::min<int64_t>(depth, 6);
  if (activation == Activation::kRelu1) least = -1, most = std::min<int64_t>(depth, 1);
  clamp_min = saturated(depth - most);
  clamp_max = saturated(depth - least);
  multiplier.resize(channels);
  bias.resize(channels);
  for (size_t c = 0; c < channels; ++c) {  // in double, as LCE does
    multiplier[c] = static_cast<float>(-1 * static_cast<double>(multipliers[c]) / scale);
    bias[c] = static_cast<float>((static_cast<double>(biases[c]) + static_cast<double>(depth) * multipliers[c]) / scale + zero_point);
  }
  return {};
}

std::string OutputStage::prepare(const CompareStage& stage) {
  output = Output::kBits;
  if (stage.copies < 1 || stage.copies > limits::kMostCopies) return "copies are not positive or too many";
  const int64_t size = int64_t{stage.copies} * shape.channels_out;
  if (static_cast<int64_t>(stage.threshold.size()) != size) return "thresholds are not one a channel and copy";
  if (!stage.inverted.empty() && static_cast<int64_t>(stage.inverted.size()) != size) return "directions are not one a channel and copy";
  if (!stage.negate.empty() && static_cast<int64_t>(stage.negate.size()) != shape.channels_out) return "signs are not one a channel";
  if (stage.pooled) {
    if (Status status = stage.pool.validate(); !status.ok()) return "max pool: " + status.text();
    if (stage.pool.batch != shape.batch || stage.pool.input_height != shape.output_height || stage.pool.input_width != shape.output_width) {
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
      const size_t from = static_cast<size_t>(k * shape.channels_out + c), to = static_cast<size_t>(k * padded_channels + c);
      // dot < t is K - t < K - dot, which is twice the accumulator.
      const int64_t bound = shape.depth() - stage.threshold[from];
      threshold[to] = saturated(shape.zero_padding ? bound : bound >> 1);
      if (!stage.inverted.empty() && stage.inverted[from] != 0) inverted[to / 8] = static_cast<uint8_t>(inverted[to / 8] | 1 << to % 8);
    }
  }
  return {};
}

std::string OutputStage::prepare(const FloatStage& stage) {
  output = Output::kFloat;
  return prepare_scaling(stage.activation, stage.multiplier, stage.bias, 1, 0);
}

std::string OutputStage::prepare(const Int8Stage& stage) {
  output = Output::kInt8;
  if (!(stage.scale > 0) || !std::isfinite(stage.scale)) return "the scale of the int8 output is not positive and finite";
  return prepare_scaling(stage.activation, stage.multiplier, stage.bias, stage.scale, stage.zero_point);
}

template <class Stage>
std::string BinaryConv::prepare_any(const ConvShape& shape, const ChannelLayout& input, const int32_t* filter, int64_t filter_words,
                                    const Stage& stage, const std::vector<uint8_t>& negate, int threads, const char* kernel) {
  plan_.reset();
  auto plan = std::make_unique<Plan>();
  plan->shape = plan->stage.shape = shape;
  if (Status status = shape.validate(); !status.ok()) return status.text();
  if (std::string error = plan->stage.prepare(stage); !error.empty()) return error;
  if (Status status = plan->prepare(input, Filter(shape, filter, negate), filter_words, threads, kernel); !status.ok()) return status.text();
  plan_ = std::move(plan);
  return {};
}

std::string BinaryConv::prepare(const ConvShape& shape, const ChannelLayout& input, const int32_t* filter, int64_t filter_words,
                                const FloatStage& stage, int threads, const char* kernel) {
  return prepare_any(shape, input, filter, filter_words, stage, {}, threads, kernel);
}

std::string BinaryConv::prepare(const ConvShape& shape, const ChannelLayout& input, const int32_t* filter, int64_t filter_words,
                                const Int8Stage& stage, int threads, const char* kernel) {
  return prepare_any(shape, input, filter, filter_words, stage, {}, threads, kernel);
}

std::string BinaryConv::prepare(const ConvShape& shape, const ChannelLayout& input, const int32_t* filter, int64_t filter_words,
                                const CompareStage& stage, int threads, const char* kernel) {
  return prepare_any(shape, input, filter, filter_words, stage, stage.negate, threads, kernel);
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
