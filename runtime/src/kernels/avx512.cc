// The bit GEMM for AVX-512 with VPOPCNTDQ.
//
// A register holds 4 bytes of K of 16 outputs, and the activations' 4 bytes are broadcast: xor, vpopcntd and an addition do 512
// multiply-adds, and every lane is the sum of one output. A tile is kPatches patches times kVectors such registers.
#include <immintrin.h>

#include "kernels/packing.h"

namespace bduo::kernels {
namespace {

constexpr int32_t kWord = 4, kLanes = 16, kVectorsPerBlock = kBlock / kLanes;

inline __m512i broadcast(const uint8_t* word) {
  int32_t bits;
  std::memcpy(&bits, word, kWord);
  return _mm512_set1_epi32(bits);
}

template <int kPatches, int kVectors>
void tile(const GemmCall& call, int64_t first_patch, int32_t first_vector) {
  __m512i sums[kPatches][kVectors];
#pragma GCC unroll 8
  for (int p = 0; p < kPatches; ++p) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) sums[p][v] = _mm512_setzero_si512();
  }
  const uint8_t* weights = call.weights + first_vector / kVectorsPerBlock * call.block_stride;
  for (const Run* run = call.runs; run != call.runs + call.run_count; ++run) {
    const uint8_t* patches[kPatches];
#pragma GCC unroll 8
    for (int p = 0; p < kPatches; ++p) patches[p] = call.patches[first_patch + p] + call.patch_offset + run->offset;
    for (int32_t k = 0; k < run->bytes; k += kWord, weights += kWord * kBlock) {
      __m512i some[kVectors];
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) {
        some[v] = _mm512_loadu_si512(weights + v / kVectorsPerBlock * call.block_stride + v % kVectorsPerBlock * (kWord * kLanes));
      }
#pragma GCC unroll 8
      for (int p = 0; p < kPatches; ++p) {
        const __m512i bits = broadcast(patches[p] + k);
#pragma GCC unroll 8
        for (int v = 0; v < kVectors; ++v) sums[p][v] = _mm512_add_epi32(sums[p][v], _mm512_popcnt_epi32(_mm512_xor_si512(some[v], bits)));
      }
    }
  }
#pragma GCC unroll 8
  for (int p = 0; p < kPatches; ++p) {
    int32_t* out = call.sums + (first_patch + p) * call.sum_stride + first_vector * kLanes;
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v, out += kLanes) {
      _mm512_storeu_si512(out, call.accumulate ? _mm512_add_epi32(sums[p][v], _mm512_loadu_si512(out)) : sums[p][v]);
    }
  }
}

// Multiplies all patches by kVectors registers of outputs, the last patches in smaller tiles.
template <int kPatches, int kVectors>
void tiles(const GemmCall& call, int64_t first_patch, int32_t first_vector) {
  for (; first_patch + kPatches <= call.patch_count; first_patch += kPatches) tile<kPatches, kVectors>(call, first_patch, first_vector);
  if constexpr (kPatches > 1) tiles<kPatches / 2, kVectors>(call, first_patch, first_vector);
}

void gemm(const GemmCall& call) {
  const int32_t vectors = (call.blocks - 1) * kVectorsPerBlock + (call.last_outputs > kLanes ? 2 : 1);
  int32_t v = 0;
  if (call.patch_count == 1) {
    for (; v + 8 <= vectors; v += 8) tile<1, 8>(call, 0, v);
  }
  for (; v + 4 <= vectors; v += 4) tiles<4, 4>(call, 0, v);
  if (vectors - v == 3) tiles<4, 3>(call, 0, v);
  if (vectors - v == 2) tiles<8, 2>(call, 0, v);
  if (vectors - v == 1) tiles<8, 1>(call, 0, v);
}

}  // namespace

constexpr BitGemm avx512 = [] {
  BitGemm kernel;
  kernel.align = kWord;
  kernel.expand = copy;
  kernel.pack = pack_words;
  kernel.gemm = gemm;
  return kernel;
}();

}  // namespace bduo::kernels
