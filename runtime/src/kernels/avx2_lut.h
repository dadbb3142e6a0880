// What the table look-ups for AVX2 share: the order of outputs in a register, and the way from byte sums to the result.
#pragma once

#include <immintrin.h>

#include "kernels/bit_gemm.h"

namespace bduo::kernels {
namespace {

constexpr int popcount4(int x) { return (x & 1) + (x >> 1 & 1) + (x >> 2 & 1) + (x >> 3 & 1); }

// Each takes one nibble of every byte.
inline __m256i low_of(__m256i bytes) { return _mm256_and_si256(bytes, _mm256_set1_epi8(15)); }
inline __m256i high_of(__m256i bytes) { return _mm256_and_si256(_mm256_srli_epi16(bytes, 4), _mm256_set1_epi8(15)); }

inline __m256i load(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }

// Puts byte k of the 32 outputs side by side: output i at byte 2 * i, output 16 + i at byte 2 * i + 1, so that the even and the odd bytes
// of a register, widened to 16 bits, are outputs in order.
inline void pack_interleaved(const uint8_t* rows, int64_t k_bytes, int32_t, uint8_t* out) {
  for (int32_t lane = 0; lane < kBlock; ++lane) {
    uint8_t* column = out + (lane < 16 ? 2 * lane : 2 * (lane - 16) + 1);
    for (int64_t k = 0; k < k_bytes; ++k) column[k * kBlock] = rows[lane * k_bytes + k];
  }
}

inline void add_widened(__m256i bytes, __m256i (&wide)[2]) {
  wide[0] = _mm256_add_epi16(wide[0], _mm256_and_si256(bytes, _mm256_set1_epi16(255)));
  wide[1] = _mm256_add_epi16(wide[1], _mm256_srli_epi16(bytes, 8));
}

inline int32_t* sums_of(const GemmCall& call, int64_t row, int32_t block) { return call.sums + row * call.sum_stride + block * kBlock; }

inline void store_eight(const GemmCall& call, __m128i sums, int32_t* out) {
  __m256i x = _mm256_cvtepu16_epi32(sums);
  if (call.accumulate) x = _mm256_add_epi32(x, load(out));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), x);
}

inline void store_sums(const GemmCall& call, int64_t row, int32_t block, const __m256i (&wide)[2]) {
  int32_t* out = sums_of(call, row, block);
#pragma GCC unroll 8
  for (int i = 0; i < 2; ++i) {
    store_eight(call, _mm256_castsi256_si128(wide[i]), out + 16 * i);
    store_eight(call, _mm256_extracti128_si256(wide[i], 1), out + 16 * i + 8);
  }
}

}  // namespace
}  // namespace bduo::kernels
