// What follows the multiplication: sums become floats, int8, or are pooled and compared to bits.
#pragma once

#include <cstdint>
#include <vector>

#include "conv/bands.h"
#include "conv/binary_conv.h"
#include "conv/scratch.h"
#include "conv/shape.h"
#include "conv/tasks.h"
#include "kernels/stages.h"
#include "status.h"

namespace bduo {

enum class Output { kFloat, kInt8, kBits };

struct OutputStage {
  ConvShape shape;
  const Stages* kernels = nullptr;
  Output output = Output::kFloat;

  // For floats and int8.
  int32_t clamp_min = 0, clamp_max = 0;
  std::vector<float> multiplier, bias;

  // For bits.
  bool pooled = false;
  PoolShape pool;
  int32_t copies = 1;
  int64_t padded_channels = 0;     // channels rounded up to kBlock
  std::vector<int32_t> threshold;  // [copy][padded channel], of sums (of twice the sums plus their corrections for zero padding)
  std::vector<uint8_t> inverted;   // the same as bits
  ChannelLayout output_layout;

  // Each sets `output` and what its stage needs, for the convolution's shape.
  Status prepare(const FloatStage& stage);
  Status prepare(const Int8Stage& stage);
  Status prepare(const CompareStage& stage);

  const PoolShape* pool_shape() const { return pooled ? &pool : nullptr; }
  int64_t width() const { return pooled ? pool.output_width : shape.output_width; }  // of a row of the output, in pixels
  int64_t pixel_bytes() const;
  // The most pixels of sums that one pixel of the output is made of by a pool.
  int64_t window_pixels() const;

  // Writes a chunk's part of a band of the output. Residual may be null; only floats have one.
  void write(const Chunk& chunk, const Bands& bands, int64_t band, Scratch& scratch, uint8_t* to, const float* residual) const;

 private:
  Status prepare_scaling(Activation activation, const std::vector<float>& multipliers, const std::vector<float>& biases, double scale,
                         double zero_point);

  void scale(const Chunk& chunk, const Bands& bands, int64_t band, Sums& sums, uint8_t* to, const float* residual) const;
  void compare(const Chunk& chunk, const Bands& bands, int64_t band, Scratch& scratch, uint8_t* to) const;
};

}  // namespace bduo
