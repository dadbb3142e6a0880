// The contract of the kernels: what every instruction set provides, and the one list of all of them. No shapes, no threads here.
//
// Bits: 1 means -1, 0 means +1. An accumulator is the number of bits in which activations and weights differ.
#pragma once

#include <cstdint>

#include "kernels/cpu.h"

namespace bduo {

inline constexpr int32_t kBlock = 32;  // outputs (channels) that a bit GEMM computes at a time; weights are packed in blocks of them

// A stretch of bytes of K that is contiguous in the activations; the runs of a patch, in order, make up all of K.
struct Run {
  int32_t offset;  // from the patch's first byte, in expanded bytes
  int32_t bytes;   // of K, before expansion; a positive multiple of BitGemm::align
  int32_t flush;   // 1: after it, partial sums must be widened (BitGemm::flush_bytes)
};

// Patches times blocks of outputs: sums[p][r * kBlock + lane] (+)= accumulator of patch p and output `lane` of block r.
struct GemmCall {
  const uint8_t* const* patches;  // where every BitGemm::patches-th patch begins in the expanded activations
  int64_t patch_count;            // of these; BitGemm::patches times as many rows of sums are written
  int64_t patch_offset;  // bytes added to each of them
  const Run* runs;
  int64_t run_count;        // together at most kSpanBytes bytes of K, the last one flushes
  const uint8_t* weights;   // of the first block, packed, at the first run's place in K
  int64_t block_stride;     // bytes from a block's weights to the next block's
  int32_t blocks;
  int32_t last_outputs;     // of the last block; the others have kBlock
  int32_t* sums;
  int64_t sum_stride;       // int32 from a patch's sums to the next patch's; lanes from round_up(last_outputs, 8) on need not be written
  bool accumulate;          // add to sums instead of overwriting
};

// So many bytes of K cannot overflow the 16-bit sums that kernels may keep.
inline constexpr int64_t kSpanBytes = 65535 / 8;

struct BitGemm {
  const char* name;
  Isa isa;
  int32_t patches;      // neighbouring patches of a row of the output that are expanded together, 1 or 2
  int32_t align;        // bytes of a pixel are rounded up to a multiple of this, 1 or 4
  int32_t expansion;    // bytes that a byte of activations takes once expanded
  int32_t flush_bytes;  // bytes of K after which a run must flush; runs are cut to fit

  // Activations as the kernel reads them: count bytes to count * expansion. `next` is the distance from a patch's bytes to those of the
  // patch beside it. May read next + kSlack bytes beyond bits + count, and write kSlack beyond the result.
  void (*expand)(const uint8_t* bits, int64_t count, int64_t next, uint8_t* out);
  // Weights of one block of so many outputs: rows of k_bytes bytes for kBlock outputs (missing ones are rows of zeros) to
  // kBlock * k_bytes bytes. The weights at byte k of K start kBlock * k bytes into the result.
  void (*pack)(const uint8_t* rows, int64_t k_bytes, int32_t outputs, uint8_t* out);
  // May read kSlack bytes beyond a run of expanded activations.
  void (*gemm)(const GemmCall& call);
};

inline constexpr int64_t kSlack = 64;

// What follows a GEMM, on a pixel's row of n sums. No alignment is needed; inputs are read and outputs written up to n only, except
// where stated.
struct Stages {
  Isa isa;
  // y = float(clamp(x << shift)) * multiplier + bias (+ residual if not null), each step rounded to float.
  void (*scale)(const int32_t* x, int64_t n, int shift, int32_t clamp_min, int32_t clamp_max, const float* multiplier, const float* bias,
                const float* residual, float* y);
  // The same without residual, rounded half away from zero and saturated to int8 (NaN gives 127).
  void (*scale_int8)(const int32_t* x, int64_t n, int shift, int32_t clamp_min, int32_t clamp_max, const float* multiplier,
                     const float* bias, int8_t* y);
  // out = minimum over `count` >= 1 rows, of n sums; reads and writes round_up(n, 8).
  void (*minimum)(const int32_t* const* rows, int64_t count, int64_t n, int32_t* out);
  // Bit i of bits = (x[i] > threshold[i]) xor bit i of inverted; writes ceil(n / 8) bytes; reads round_up(n, 8) of x and threshold.
  void (*compare)(const int32_t* x, int64_t n, const int32_t* threshold, const uint8_t* inverted, uint8_t* bits);

  // Bits of n numbers, ceil(n / 8) bytes written, padding bits 0.
  void (*float_signs)(const float* x, int64_t n, uint8_t* bits);                             // bit = x < 0
  void (*int8_signs)(const int8_t* x, int64_t n, int8_t zero_point, uint8_t* bits);          // bit = x < zero_point
  // Bits of n numbers in each of `rows` rows: bit i = bit i of greater ? x > threshold : x < threshold; padding bits 0.
  void (*float_below)(const float* x, int64_t x_stride, int64_t rows, int64_t n, const float* threshold, const uint8_t* greater,
                      uint8_t* bits, int64_t bits_stride);
};

// All kernels, best first. Each may be forced by name if the CPU has its instruction set.
const BitGemm* const* bit_gemms(int* count);
const Stages* const* stage_sets(int* count);
// The best of an instruction set or below, for rows of so many patches.
const BitGemm& best_bit_gemm(Isa isa, int64_t row_patches);
const Stages& best_stages(Isa isa);

namespace kernels {  // one definition for each, in the file of its instruction set
extern const BitGemm portable, popcnt;
extern const Stages portable_stages;
#if defined(__x86_64__)
extern const BitGemm avx2_pairs, avx2_lut, avx512;
extern const Stages avx2_stages;
#elif defined(__aarch64__)
extern const BitGemm neon;
extern const Stages neon_stages;
#endif
}  // namespace kernels

}  // namespace bduo
