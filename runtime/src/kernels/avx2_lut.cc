// The bit GEMM for AVX2 by table look-up. Compiled with -mavx2: nothing here may run without it, and nothing inline from elsewhere.
//
// For a nibble a of activations, the table kTables[a] holds popcount(a ^ w) for the 16 nibbles w. vpshufb looks 32 nibbles of weights
// up at once, those of 32 outputs, and the results are added as bytes: two instructions for 128 multiply-adds. A byte holds the sum of
// 31 bytes of K; after those, sums are widened to 16 bits. A tile is kPatches patches times kBlocks blocks, so that the nibbles of the
// weights, once separated, serve several patches. Activations are expanded to one byte a nibble: the table's offset.
#include <immintrin.h>

#include <cstring>

#include "kernels/kernels.h"

namespace bduo::kernels {
namespace {

constexpr int32_t kFlushBytes = 31;  // 31 * 8 <= 255

struct Tables {
  alignas(64) uint8_t nibble[16][16];
};

constexpr Tables make_tables() {
  Tables tables{};
  for (int a = 0; a < 16; ++a) {
    for (int w = 0; w < 16; ++w) {
      const int x = a ^ w;
      tables.nibble[a][w] = static_cast<uint8_t>((x & 1) + (x >> 1 & 1) + (x >> 2 & 1) + (x >> 3 & 1));
    }
  }
  return tables;
}

constexpr Tables kTables = make_tables();

// Byte b becomes the two offsets (b & 15) * 16 and (b >> 4) * 16.
inline __m128i offsets_of_8(__m128i bytes) {
  const __m128i wide = _mm_cvtepu8_epi16(bytes);
  const __m128i low = _mm_and_si128(_mm_slli_epi16(wide, 4), _mm_set1_epi16(0x00f0));
  const __m128i high = _mm_slli_epi16(_mm_and_si128(wide, _mm_set1_epi16(0x00f0)), 8);
  return _mm_or_si128(low, high);
}

void expand(const uint8_t* bits, int64_t bit_stride, int64_t pixels, int64_t bytes, uint8_t* out, int64_t out_stride) {
  for (int64_t i = 0; i < pixels; ++i) {
    const uint8_t* from = bits + i * bit_stride;
    uint8_t* to = out + i * out_stride;
    int64_t k = 0;
    for (; k + 8 <= bytes; k += 8) {
      const __m128i wide = offsets_of_8(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(from + k)));
      _mm_storeu_si128(reinterpret_cast<__m128i*>(to + 2 * k), wide);
    }
    for (; k < bytes; k += 4) {  // whole words may be read, and the slack written
      int32_t word;
      std::memcpy(&word, from + k, 4);
      _mm_storel_epi64(reinterpret_cast<__m128i*>(to + 2 * k), offsets_of_8(_mm_cvtsi32_si128(word)));
    }
  }
}

// Byte k of the 32 outputs side by side: output i at byte 2 * i, output 16 + i at byte 2 * i + 1, so that the even and the odd bytes
// of a register, widened to 16 bits, are outputs in order.
void pack(const uint8_t* rows, int64_t k_bytes, uint8_t* out) {
  for (int32_t lane = 0; lane < kBlock; ++lane) {
    uint8_t* column = out + (lane < 16 ? 2 * lane : 2 * (lane - 16) + 1);
    for (int64_t k = 0; k < k_bytes; ++k) column[k * kBlock] = rows[lane * k_bytes + k];
  }
}

inline __m256i load(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }

template <int kPatches, int kBlocks>
inline void add_lookups(__m256i (&sums)[kPatches][kBlocks], const __m256i (&nibbles)[kBlocks], const uint8_t* const (&patches)[kPatches],
                        int64_t position) {
#pragma GCC unroll 8
  for (int p = 0; p < kPatches; ++p) {
    const uint8_t* table = &kTables.nibble[0][0] + patches[p][position];
    const __m256i counts = _mm256_broadcastsi128_si256(_mm_load_si128(reinterpret_cast<const __m128i*>(table)));
#pragma GCC unroll 8
    for (int r = 0; r < kBlocks; ++r) sums[p][r] = _mm256_add_epi8(sums[p][r], _mm256_shuffle_epi8(counts, nibbles[r]));
  }
}

template <int kPatches, int kBlocks>
void tile(const GemmCall& call, int64_t first_patch, int32_t first_block) {
  const __m256i low_nibbles = _mm256_set1_epi8(15), low_bytes = _mm256_set1_epi16(255);
  const uint8_t* weights = call.weights + first_block * call.block_stride;
  __m256i sums[kPatches][kBlocks], wide[kPatches][kBlocks][2];
#pragma GCC unroll 8
  for (int p = 0; p < kPatches; ++p) {
#pragma GCC unroll 8
    for (int r = 0; r < kBlocks; ++r) sums[p][r] = wide[p][r][0] = wide[p][r][1] = _mm256_setzero_si256();
  }

  for (const Run* run = call.runs; run != call.runs + call.run_count; ++run) {
    const uint8_t* patches[kPatches];
#pragma GCC unroll 8
    for (int p = 0; p < kPatches; ++p) patches[p] = call.patches[first_patch + p] + call.patch_offset + run->offset;
    for (int64_t k = 0; k < run->bytes; ++k, weights += kBlock) {
      __m256i nibbles[kBlocks];
#pragma GCC unroll 8
      for (int r = 0; r < kBlocks; ++r) nibbles[r] = _mm256_and_si256(load(weights + r * call.block_stride), low_nibbles);
      add_lookups<kPatches, kBlocks>(sums, nibbles, patches, 2 * k);
#pragma GCC unroll 8
      for (int r = 0; r < kBlocks; ++r) {
        nibbles[r] = _mm256_and_si256(_mm256_srli_epi16(load(weights + r * call.block_stride), 4), low_nibbles);
      }
      add_lookups<kPatches, kBlocks>(sums, nibbles, patches, 2 * k + 1);
    }
    if (run->flush == 0) continue;
#pragma GCC unroll 8
    for (int p = 0; p < kPatches; ++p) {
#pragma GCC unroll 8
      for (int r = 0; r < kBlocks; ++r) {
        wide[p][r][0] = _mm256_add_epi16(wide[p][r][0], _mm256_and_si256(sums[p][r], low_bytes));
        wide[p][r][1] = _mm256_add_epi16(wide[p][r][1], _mm256_srli_epi16(sums[p][r], 8));
        sums[p][r] = _mm256_setzero_si256();
      }
    }
  }

#pragma GCC unroll 8
  for (int p = 0; p < kPatches; ++p) {
#pragma GCC unroll 8
    for (int r = 0; r < kBlocks; ++r) {
      int32_t* out = call.sums + (first_patch + p) * call.sum_stride + (first_block + r) * kBlock;
#pragma GCC unroll 8
      for (int i = 0; i < 4; ++i) {
        const __m256i half = wide[p][r][i / 2];
        __m256i x = _mm256_cvtepu16_epi32(i % 2 == 0 ? _mm256_castsi256_si128(half) : _mm256_extracti128_si256(half, 1));
        if (call.accumulate) x = _mm256_add_epi32(x, load(out + 8 * i));
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + 8 * i), x);
      }
    }
  }
}

// All patches times kBlocks blocks, the last patches in smaller tiles.
template <int kPatches, int kBlocks>
void tiles(const GemmCall& call, int64_t first_patch, int32_t first_block) {
  for (; first_patch + kPatches <= call.patch_count; first_patch += kPatches) tile<kPatches, kBlocks>(call, first_patch, first_block);
  if constexpr (kPatches > 1) tiles<kPatches - 1, kBlocks>(call, first_patch, first_block);
}

void gemm(const GemmCall& call) {
  int32_t r = 0;
  if (call.patch_count == 1) {
    for (; r + 4 <= call.blocks; r += 4) tile<1, 4>(call, 0, r);
  }
  for (; r + 2 <= call.blocks; r += 2) tiles<3, 2>(call, 0, r);
  for (; r < call.blocks; ++r) tiles<4, 1>(call, 0, r);
}

}  // namespace

const BitGemm avx2_lut = {"avx2_lut", Isa::kAvx2, 1, 2, kFlushBytes, expand, pack, gemm};

}  // namespace bduo::kernels
