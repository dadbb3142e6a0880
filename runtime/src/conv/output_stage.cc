// The stages over a band's sums.
#include "conv/output_stage.h"

#include <algorithm>
#include <cstring>

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
