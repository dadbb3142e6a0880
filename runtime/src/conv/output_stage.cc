// The stages: checked and turned into what the kernels take, then run over a band's sums.
#include "conv/output_stage.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "conv/scaling.h"
#include "file_limits.h"

namespace bduo {
namespace {

// Compares a pixel's sums and writes the bits of all copies. The last chunk also writes the zeros behind them.
class BitWriter {
 public:
  BitWriter(const OutputStage& stage, const Chunk& chunk)
      : compare_(stage.kernels->compare),
        threshold_(stage.threshold.data() + chunk.first),
        inverted_(stage.inverted.data() + chunk.first / 8),
        channels_(chunk.channels),
        copies_(stage.copies),
        padded_channels_(stage.padded_channels),
        first_byte_(chunk.first / 8),
        copy_bytes_((int64_t{stage.shape.channels_out} + 7) / 8),
        used_bytes_(copies_ * copy_bytes_),
        zero_bytes_(chunk.first + chunk.channels == stage.shape.channels_out ? stage.pixel_bytes() - used_bytes_ : 0) {}

  void operator()(const int32_t* sums, uint8_t* to) const {
    for (int64_t k = 0; k < copies_; ++k) {
      const int64_t at = k * padded_channels_;
      compare_(sums, channels_, threshold_ + at, inverted_ + at / 8, to + k * copy_bytes_ + first_byte_);
    }
    if (zero_bytes_ > 0) std::memset(to + used_bytes_, 0, static_cast<size_t>(zero_bytes_));
  }

 private:
  decltype(Stages::compare) compare_;
  const int32_t* threshold_;
  const uint8_t* inverted_;
  int64_t channels_, copies_, padded_channels_, first_byte_, copy_bytes_, used_bytes_, zero_bytes_;
};

// Finds the sums of a pixel of the pool's output: the greatest dot product has the least sum.
class MaxPool {
 public:
  MaxPool(const OutputStage& stage, const Chunk& chunk, Scratch& scratch)
      : minimum_(stage.kernels->minimum),
        window_(stage.pool.window),
        height_(stage.shape.output_height),
        width_(stage.shape.output_width),
        channels_(chunk.channels),
        row_stride_(scratch.sums.width * scratch.sums.stride),
        stride_(scratch.sums.stride),
        pixels_(scratch.window.data()),
        pooled_(scratch.pooled.data()) {}

  // `sums` are those of the piece's first row.
  const int32_t* operator()(const Piece& piece, const int32_t* sums, int64_t row, int64_t column) const {
    const int64_t top = row * window_.stride_height - window_.pad_top, left = column * window_.stride_width - window_.pad_left;
    const int64_t bottom = std::min<int64_t>(height_, top + window_.height), right = std::min<int64_t>(width_, left + window_.width);
    int64_t count = 0;
    for (int64_t y = std::max<int64_t>(0, top); y < bottom; ++y) {
      const int32_t* row_sums = sums + (y - piece.first_conv) * row_stride_;
      for (int64_t x = std::max<int64_t>(0, left); x < right; ++x) pixels_[count++] = row_sums + x * stride_;
    }
    minimum_(pixels_, count, channels_, pooled_);
    return pooled_;
  }

 private:
  decltype(Stages::minimum) minimum_;
  Window window_;
  int64_t height_, width_, channels_, row_stride_, stride_;
  const int32_t** pixels_;
  int32_t* pooled_;
};

}  // namespace

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

int64_t OutputStage::pixel_bytes() const {
  if (output == Output::kBits) return int64_t{output_layout.words} * 4;
  return int64_t{shape.channels_out} * (output == Output::kFloat ? 4 : 1);
}

int64_t OutputStage::window_pixels() const {
  if (!pooled) return 0;
  return std::min<int64_t>(pool.window.height, shape.output_height) * std::min<int64_t>(pool.window.width, shape.output_width);
}

void OutputStage::write(const Chunk& chunk, const Bands& bands, int64_t band, Scratch& scratch, uint8_t* to, const float* residual) const {
  if (output == Output::kBits) {
    compare(chunk, bands, band, scratch, to);
  } else {
    scale(chunk, bands, band, scratch.sums, to, residual);
  }
}

void OutputStage::scale(const Chunk& chunk, const Bands& bands, int64_t band, Sums& sums, uint8_t* to, const float* residual) const {
  Scaling scaling;
  scaling.shift = shape.zero_padding ? 0 : 1;  // zero padding has doubled the sums already
  scaling.clamp_min = clamp_min;
  scaling.clamp_max = clamp_max;
  scaling.multiplier = multiplier.data() + chunk.first;
  scaling.bias = bias.data() + chunk.first;
  const int64_t first = bands.first_row(band), rows = bands.last_row(band) - first;
  int64_t at = first * shape.output_width * shape.channels_out + chunk.first;
  for (int64_t row = 0; row < rows; ++row) {
    const int32_t* pixel = sums.row(row);
    for (int64_t x = 0; x < shape.output_width; ++x, at += shape.channels_out, pixel += sums.stride) {
      if (output == Output::kFloat) {
        kernels->scale(pixel, chunk.channels, scaling, residual != nullptr ? residual + at : nullptr, reinterpret_cast<float*>(to) + at);
      } else {
        kernels->scale_int8(pixel, chunk.channels, scaling, reinterpret_cast<int8_t*>(to) + at);
      }
    }
  }
}

void OutputStage::compare(const Chunk& chunk, const Bands& bands, int64_t band, Scratch& scratch, uint8_t* to) const {
  const BitWriter write_bits(*this, chunk);
  const MaxPool max_pool(*this, chunk, scratch);
  const int64_t pixel = pixel_bytes(), columns = width(), sums_stride = scratch.sums.stride, row_stride = scratch.sums.width * sums_stride;
  const int32_t* sums = scratch.sums.values.data();
  to += bands.first_row(band) * columns * pixel;
  bands.pieces(band, [&](const Piece& piece) {
    for (int64_t row = piece.first; row < piece.last; ++row) {
      for (int64_t column = 0; column < columns; ++column, to += pixel) {
        if (pooled) {
          write_bits(max_pool(piece, sums, row, column), to);
        } else {
          write_bits(sums + (row - piece.first) * row_stride + column * sums_stride, to);
        }
      }
    }
    sums += (piece.last_conv - piece.first_conv) * row_stride;
  });
}

}  // namespace bduo
