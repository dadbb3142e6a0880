// A binary convolution prepared once for one shape, with what follows it: scaled floats, int8, or compared and packed
// to bits.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "conv/scaling.h"
#include "conv/shape.h"
#include "conv/thread_pool.h"
#include "status.h"

namespace bduo {

// The convolution without what follows it. The filter is read while preparing only.
struct ConvDefinition {
  ConvShape shape;
  // Where the shape.channels_in channels of the input lie. With groups > 1 every group's channels must lie in int32
  // words of its own, from g * words / groups on (which is true of ChannelLayout::packed if channels_in / groups is a
  // multiple of 32).
  ChannelLayout input;
  // LCE's filter: int32 [channels_out][window.height][window.width][ceil((channels_in / groups) / 32)], logical channel
  // c of the group at bit c. filter_words is its length in int32 and must be exactly that product. Padding bits of it
  // are ignored.
  const int32_t* filter = nullptr;
  int64_t filter_words = 0;
};

// Output float32 [batch][output_height][output_width][channels_out]:
//   y = float(clamp(dot)) * multiplier[c] + bias[c] in LCE's order of operations (conv/scaling.h), so bit-exact with
//   its kernels (for zero padding with its reference kernel; its optimised one adds a correction in float).
// With run()'s residual: y + residual, as a following Add of the same shape would.
struct FloatStage {
  Activation activation = Activation::kNone;
  std::vector<float> multiplier, bias;  // channels_out each
};

// Output int8 of the same shape: LCE's rounding (half away from zero) and saturation of y / scale + zero_point.
struct Int8Stage {
  Activation activation = Activation::kNone;
  std::vector<float> multiplier, bias;  // channels_out each
  float scale = 1;                      // > 0 and finite
  int32_t zero_point = 0;
};

// Output bits of `copies` copies of the channels, in ChannelLayout::copied(copies, channels_out), of the pooled size:
//   v(c) = maximum over the pool's window of (negated[c] ? -dot : dot), or of the one pixel without a pool
//   bit(k, c) = v(c) < threshold[k * channels_out + c], inverted (>=) where inverted[k * channels_out + c]
// A threshold above K makes the bit constant 1, one of -K or below constant 0; any int32 is allowed.
// Throughout this library a number is negated, which multiplies it by -1, and a bit is inverted, which turns it over.
struct CompareStage {
  bool pooled = false;
  PoolShape pool;  // Its batch and input size are the convolution's batch and output size.
  int32_t copies = 1;
  std::vector<uint8_t> negated;    // channels_out, or empty if none is
  std::vector<int32_t> threshold;  // copies * channels_out
  std::vector<uint8_t> inverted;   // copies * channels_out, or empty if none is

  // LCE's bitpacked output: bit = accumulator > thresholds[c], with accumulator = (K - dot) / 2.
  static CompareStage from_lce_thresholds(const ConvShape& shape, const int32_t* thresholds);
};

class BinaryConv {
 public:
  BinaryConv();
  ~BinaryConv();
  BinaryConv(BinaryConv&&) noexcept;
  BinaryConv& operator=(BinaryConv&&) noexcept;

  // Checks everything, packs the weights for the kernel chosen, allocates scratch for `threads` threads (the threads()
  // of the pool that run() will get, or more). Copies all it needs: definition, filter and stage may go afterwards.
  // `kernel` is the name of a kernel to force, for tests and measurements; nullptr chooses by instruction set and
  // shape. If it fails, nothing may be called but prepare().
  Status prepare(const ConvDefinition& definition, const FloatStage& stage, int threads, const char* kernel = nullptr);
  Status prepare(const ConvDefinition& definition, const Int8Stage& stage, int threads, const char* kernel = nullptr);
  Status prepare(const ConvDefinition& definition, const CompareStage& stage, int threads, const char* kernel = nullptr);

  // Bytes of the tensors that run() reads and writes, exactly: it never touches one beyond. No alignment is needed.
  int64_t input_bytes() const;
  int64_t output_bytes() const;
  // Layout of the output's channels, for CompareStage.
  const ChannelLayout& output_layout() const;

  // input: bits, [batch][input_height][input_width][layout.words] of int32. output: as the stage says. Buffers must not
  // overlap, except that residual (FloatStage only, same shape as the output, or nullptr) may be the output.
  void run(const int32_t* input, void* output, ThreadPool& pool, const float* residual = nullptr);

  // The kernel's name, such as "avx2_lut" or "popcnt", for reports; empty before prepare().
  const char* kernel() const;

 private:
  struct Plan;

  template <class Stage>
  Status prepare_any(const ConvDefinition& definition, const Stage& stage, int threads, const char* kernel);

  std::unique_ptr<Plan> plan_;
};

}  // namespace bduo
