// The bit GEMM for NEON (Armv8-A, without its later extensions) by xor, cnt and sums of bytes.
//
// A register holds byte k of K of 16 outputs; the byte of activations is broadcast to all lanes, so that three instructions do 128
// multiply-adds and every lane is the sum of one output, to which nothing is left but to widen it. A byte holds the sum of up to 31 bytes
// of K. A tile is kPatches patches times kVectors such registers, 16 sums at most: with the weights and what is in between, they fill the
// 32 registers. Bytes of K instead of words mean that no bits are wasted on channels that are not a multiple of 32.
#include <arm_neon.h>

#include "kernels/packing.h"

namespace bduo::kernels {
namespace {

constexpr int32_t kFlushBytes = 28;  // a byte holds 28 * 8, and 28 is a multiple of the 4 bytes of a step
constexpr int32_t kLanes = 16, kVectorsPerBlock = kBlock / kLanes;

template <bool kAccumulate>
inline void store(const uint16_t* wide, int n, int32_t* out) {
#pragma GCC unroll 2
  for (int i = 0; i < n; i += 8) {
    const uint16x8_t sums = vld1q_u16(wide + i);
    int32x4_t low = vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(sums))), high = vreinterpretq_s32_u32(vmovl_high_u16(sums));
    if (kAccumulate) low = vaddq_s32(low, vld1q_s32(out + i)), high = vaddq_s32(high, vld1q_s32(out + i + 4));
    vst1q_s32(out + i, low);
    vst1q_s32(out + i + 4, high);
  }
}

template <int kPatches, int kVectors>
struct Tile {
  static constexpr int kBlocks = (kVectors + 1) / 2;

  uint8x16_t sums[kPatches][kVectors];
  const uint8_t* weights[kBlocks];

  void clear() {
#pragma GCC unroll 8
    for (int p = 0; p < kPatches; ++p) {
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) sums[p][v] = vdupq_n_u8(0);
    }
  }

  // Multiplies byte `kByte` of each patch's `bits` by the weights `kByte` bytes of K on.
  template <int kByte>
  void multiply(const uint8x8_t (&bits)[kPatches]) {
    uint8x16_t some[kVectors];
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) some[v] = vld1q_u8(weights[v / 2] + kByte * kBlock + v % 2 * kLanes);
#pragma GCC unroll 8
    for (int p = 0; p < kPatches; ++p) {
      const uint8x16_t byte = vdupq_lane_u8(bits[p], kByte);
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) sums[p][v] = vaddq_u8(sums[p][v], vcntq_u8(veorq_u8(some[v], byte)));
      // This keeps one patch after the other: compilers would mix them, and spill registers.
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) asm volatile("" : "+w"(sums[p][v]));
    }
  }

  // Multiplies the next kBytes bytes of K.
  template <int kBytes>
  void step(const uint8_t* const (&patches)[kPatches], int32_t k) {
    uint8x8_t bits[kPatches];
#pragma GCC unroll 8
    for (int p = 0; p < kPatches; ++p) {
      bits[p] = vld1_u8(patches[p] + k);
      asm volatile("" : "+w"(bits[p]));  // so that it is one load, not one a byte
    }
    multiply<0>(bits);
    if constexpr (kBytes == 4) multiply<1>(bits), multiply<2>(bits), multiply<3>(bits);
#pragma GCC unroll 8
    for (int b = 0; b < kBlocks; ++b) weights[b] += kBytes * kBlock;
  }

  void add_to(uint16_t* wide) const {
#pragma GCC unroll 8
    for (int p = 0; p < kPatches; ++p) {
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v, wide += kLanes) {
        vst1q_u16(wide, vaddw_u8(vld1q_u16(wide), vget_low_u8(sums[p][v])));
        vst1q_u16(wide + 8, vaddw_high_u8(vld1q_u16(wide + 8), sums[p][v]));
      }
    }
  }
};

template <int kPatches, int kVectors>
void run_tile(const GemmCall& call, int64_t first_patch, int32_t first_vector) {
  Tile<kPatches, kVectors> tile;
  tile.clear();
#pragma GCC unroll 8
  for (int b = 0; b < tile.kBlocks; ++b) tile.weights[b] = call.weights + (first_vector / 2 + b) * call.block_stride;
  // Widened sums belong in memory: in registers they would push out what the loop needs.
  uint16_t memory[kPatches * kVectors * kLanes] = {};
  uint16_t* wide = memory;
  asm("" : "+r"(wide) : : "memory");

  for (const Run* run = call.runs; run != call.runs + call.run_count; ++run) {
    const uint8_t* patches[kPatches];
#pragma GCC unroll 8
    for (int p = 0; p < kPatches; ++p) patches[p] = call.patches[first_patch + p] + call.patch_offset + run->offset;
    int32_t k = 0;
    for (; k + 4 <= run->bytes; k += 4) tile.template step<4>(patches, k);
    for (; k < run->bytes; ++k) tile.template step<1>(patches, k);
    if (run->flush == 0) continue;
    tile.add_to(wide);
    tile.clear();
  }

  for (int p = 0; p < kPatches; ++p, wide += kVectors * kLanes) {
    int32_t* out = call.sums + (first_patch + p) * call.sum_stride + first_vector * kLanes;
    call.accumulate ? store<true>(wide, kVectors * kLanes, out) : store<false>(wide, kVectors * kLanes, out);
  }
}

// Multiplies all patches by kVectors registers of outputs, the last patches in smaller tiles.
template <int kPatches, int kVectors>
void tiles(const GemmCall& call, int64_t first_patch, int32_t first_vector) {
  for (; first_patch + kPatches <= call.patch_count; first_patch += kPatches) run_tile<kPatches, kVectors>(call, first_patch, first_vector);
  if constexpr (kPatches > 1) tiles<kPatches / 2, kVectors>(call, first_patch, first_vector);
}

void gemm(const GemmCall& call) {
  const int32_t vectors = (call.blocks - 1) * kVectorsPerBlock + (call.last_outputs > kLanes ? 2 : 1);
  int32_t v = 0;
  if (call.patch_count == 1) {
    for (; v + 8 <= vectors; v += 8) run_tile<1, 8>(call, 0, v);
  }
  for (; v + 4 <= vectors; v += 4) tiles<4, 4>(call, 0, v);
  if (vectors - v == 3) tiles<4, 3>(call, 0, v);
  if (vectors - v == 2) tiles<6, 2>(call, 0, v);
  if (vectors - v == 1) tiles<8, 1>(call, 0, v);
}

}  // namespace

constexpr BitGemm neon = [] {
  BitGemm kernel;
  kernel.flush_bytes = kFlushBytes;
  kernel.expand = copy;
  kernel.pack = pack_bytes;
  kernel.gemm = gemm;
  return kernel;
}();

}  // namespace bduo::kernels
