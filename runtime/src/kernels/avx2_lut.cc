// The bit GEMM for AVX2 by table look-up.
//
// For a nibble a of activations, the table kTables[a] holds popcount(a ^ w) for the 16 nibbles w. vpshufb looks 32 nibbles of weights
// up at once, those of 32 outputs, and the results are added as bytes: two instructions for 128 multiply-adds. A byte holds the sum of
// 31 bytes of K; after those, sums are widened to 16 bits. A tile is kPatches patches times kBlocks blocks, so that the nibbles of the
// weights, once separated, serve several patches. Activations are expanded to one byte a nibble: the table's offset.
#include "kernels/avx2_lut.h"

namespace bduo::kernels {
namespace {

constexpr int32_t kFlushBytes = 31;  // a byte holds 31 * 8

struct Tables {
  alignas(64) uint8_t nibble[16][16];
};

constexpr Tables make_tables() {
  Tables tables{};
  for (int a = 0; a < 16; ++a) {
    for (int w = 0; w < 16; ++w) {
      tables.nibble[a][w] = static_cast<uint8_t>(popcount4(a ^ w));
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

void expand(const uint8_t* bits, int64_t count, int64_t, uint8_t* out) {
  for (int64_t k = 0; k < count; k += 8) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out + 2 * k), offsets_of_8(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(bits + k))));
  }
}

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
      for (int r = 0; r < kBlocks; ++r) nibbles[r] = low_of(load(weights + r * call.block_stride));
      add_lookups<kPatches, kBlocks>(sums, nibbles, patches, 2 * k);
#pragma GCC unroll 8
      for (int r = 0; r < kBlocks; ++r) {
        nibbles[r] = high_of(load(weights + r * call.block_stride));
      }
      add_lookups<kPatches, kBlocks>(sums, nibbles, patches, 2 * k + 1);
    }
    if (run->flush == 0) continue;
#pragma GCC unroll 8
    for (int p = 0; p < kPatches; ++p) {
#pragma GCC unroll 8
      for (int r = 0; r < kBlocks; ++r) {
        add_widened(sums[p][r], wide[p][r]);
        sums[p][r] = _mm256_setzero_si256();
      }
    }
  }

#pragma GCC unroll 8
  for (int p = 0; p < kPatches; ++p) {
#pragma GCC unroll 8
    for (int r = 0; r < kBlocks; ++r) store_sums(call, first_patch + p, first_block + r, wide[p][r]);
  }
}

// Multiplies all patches by kBlocks blocks, the last patches in smaller tiles.
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

constexpr BitGemm avx2_lut = [] {
  BitGemm kernel;
  kernel.expansion = 2;
  kernel.flush_bytes = kFlushBytes;
  kernel.expand = expand;
  kernel.pack = pack_interleaved;
  kernel.gemm = gemm;
  return kernel;
}();

}  // namespace bduo::kernels
