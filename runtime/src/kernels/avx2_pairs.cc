// The bit GEMM for AVX2 by table look-up for two patches at once. Compiled with -mavx2: nothing here may run without it, and nothing
// inline from elsewhere.
//
// As avx2_lut.cc, but a table holds the counts of two patches: popcount(a ^ w) in the low and popcount(b ^ w) in the high nibble, for
// nibbles a and b of neighbouring patches and the 16 nibbles w of weights. One vpshufb looks up 256 multiply-adds. Three results fit in
// a nibble; then the high ones are added to one register, and the whole bytes, carries and all, to another: the low patch's sum is
// what remains of it modulo 256 without the high patch's. That is 9 instructions for 3 look-ups, against 12 of single ones, and half
// the shuffles, which few ports can do.
#include "kernels/avx2_lut.h"

namespace bduo::kernels {
namespace {

constexpr int32_t kFlushBytes = 30;  // 30 * 8 <= 255, and a multiple of the 3 bytes that are added up before they are split
constexpr int kPairs = 4;            // most pairs of patches in a tile: 12 registers of sums

struct Tables {
  alignas(64) uint8_t nibbles[256][16];
};

constexpr int popcount4(int x) { return (x & 1) + (x >> 1 & 1) + (x >> 2 & 1) + (x >> 3 & 1); }

constexpr Tables make_tables() {
  Tables tables{};
  for (int pair = 0; pair < 256; ++pair) {
    for (int w = 0; w < 16; ++w) {
      tables.nibbles[pair][w] = static_cast<uint8_t>(popcount4((pair & 15) ^ w) + 16 * popcount4((pair >> 4) ^ w));
    }
  }
  return tables;
}

constexpr Tables kTables = make_tables();

// Bytes a, and b of the patch beside it, become two offsets of tables in 16 bits each: of the low nibbles and of the high ones.
void expand(const uint8_t* bits, int64_t count, int64_t next, uint8_t* out) {
  const __m128i low_nibbles = _mm_set1_epi8(15);
  for (int64_t k = 0; k < count; k += 8) {
    const __m128i a = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(bits + k));
    const __m128i b = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(bits + k + next));
    const __m128i low = _mm_or_si128(_mm_and_si128(a, low_nibbles), _mm_slli_epi16(_mm_and_si128(b, low_nibbles), 4));
    const __m128i high = _mm_or_si128(_mm_and_si128(_mm_srli_epi16(a, 4), low_nibbles), _mm_andnot_si128(low_nibbles, b));
    const __m256i offsets = _mm256_slli_epi16(_mm256_cvtepu8_epi16(_mm_unpacklo_epi8(low, high)), 4);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + 4 * k), offsets);
  }
}

template <int kTile>
struct Sums {
  __m256i both[kTile], high[kTile];  // bytes of sums: low + 16 * high modulo 256, and high

  void clear() {
#pragma GCC unroll 8
    for (int p = 0; p < kTile; ++p) both[p] = high[p] = _mm256_setzero_si256();
  }

  // Results of at most three look-ups.
  void add(const __m256i (&some)[kTile]) {
    const __m256i low_nibbles = _mm256_set1_epi8(15);
#pragma GCC unroll 8
    for (int p = 0; p < kTile; ++p) {
      both[p] = _mm256_add_epi8(both[p], some[p]);
      high[p] = _mm256_add_epi8(high[p], _mm256_and_si256(_mm256_srli_epi16(some[p], 4), low_nibbles));
    }
  }
};

template <int kTile>
inline __m256i looked_up(const uint8_t* const (&patches)[kTile], int p, int64_t position, __m256i nibbles) {
  uint16_t offset;
  __builtin_memcpy(&offset, patches[p] + 2 * position, 2);
  const uint8_t* table = &kTables.nibbles[0][0] + offset;
  return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(_mm_load_si128(reinterpret_cast<const __m128i*>(table))), nibbles);
}

inline __m256i low_of(__m256i bytes) { return _mm256_and_si256(bytes, _mm256_set1_epi8(15)); }
inline __m256i high_of(__m256i bytes) { return _mm256_and_si256(_mm256_srli_epi16(bytes, 4), _mm256_set1_epi8(15)); }

// The look-ups of nibble `position` of all patches of a tile, added to `some` or, the first of them, put there.
template <int kTile, bool kFirst>
inline void look_up(const uint8_t* const (&patches)[kTile], int64_t position, __m256i nibbles, __m256i (&some)[kTile]) {
#pragma GCC unroll 8
  for (int p = 0; p < kTile; ++p) {
    const __m256i counts = looked_up<kTile>(patches, p, position, nibbles);
    some[p] = kFirst ? counts : _mm256_add_epi8(some[p], counts);
  }
}

template <int kTile>
void tile(const GemmCall& call, int64_t first_patch, int32_t block) {
  const uint8_t* weights = call.weights + block * call.block_stride;
  __m256i wide[kTile][2][2];
  Sums<kTile> sums;
  sums.clear();
#pragma GCC unroll 8
  for (int p = 0; p < kTile; ++p) wide[p][0][0] = wide[p][0][1] = wide[p][1][0] = wide[p][1][1] = _mm256_setzero_si256();

  for (const Run* run = call.runs; run != call.runs + call.run_count; ++run) {
    const uint8_t* patches[kTile];
#pragma GCC unroll 8
    for (int p = 0; p < kTile; ++p) patches[p] = call.patches[first_patch + p] + call.patch_offset + run->offset;
    __m256i some[kTile];
    int64_t k = 0;
    for (; k + 3 <= run->bytes; k += 3, weights += 3 * kBlock) {
      look_up<kTile, true>(patches, 2 * k, low_of(load(weights)), some);
      look_up<kTile, false>(patches, 2 * k + 1, high_of(load(weights)), some);
      look_up<kTile, false>(patches, 2 * k + 2, low_of(load(weights + kBlock)), some);
      sums.add(some);
      look_up<kTile, true>(patches, 2 * k + 3, high_of(load(weights + kBlock)), some);
      look_up<kTile, false>(patches, 2 * k + 4, low_of(load(weights + 2 * kBlock)), some);
      look_up<kTile, false>(patches, 2 * k + 5, high_of(load(weights + 2 * kBlock)), some);
      sums.add(some);
    }
    for (; k < run->bytes; ++k, weights += kBlock) {
      look_up<kTile, true>(patches, 2 * k, low_of(load(weights)), some);
      look_up<kTile, false>(patches, 2 * k + 1, high_of(load(weights)), some);
      sums.add(some);
    }
    if (run->flush == 0) continue;
#pragma GCC unroll 8
    for (int p = 0; p < kTile; ++p) {
      const __m256i high16 = _mm256_andnot_si256(_mm256_set1_epi8(15), _mm256_slli_epi16(sums.high[p], 4));
      add_widened(_mm256_sub_epi8(sums.both[p], high16), wide[p][0]);
      add_widened(sums.high[p], wide[p][1]);
    }
    sums.clear();
  }

#pragma GCC unroll 8
  for (int p = 0; p < kTile; ++p) {
    store_sums(call, 2 * (first_patch + p), block, wide[p][0]);
    store_sums(call, 2 * (first_patch + p) + 1, block, wide[p][1]);
  }
}

// All patches times one block, the last patches in smaller tiles.
template <int kTile>
void tiles(const GemmCall& call, int64_t first_patch, int32_t block) {
  for (; first_patch + kTile <= call.patch_count; first_patch += kTile) tile<kTile>(call, first_patch, block);
  if constexpr (kTile > 1) tiles<kTile - 1>(call, first_patch, block);
}

void gemm(const GemmCall& call) {
  for (int32_t block = 0; block < call.blocks; ++block) tiles<kPairs>(call, 0, block);
}

}  // namespace

const BitGemm avx2_pairs = {"avx2_pairs", Isa::kAvx2, 2, 1, 4, kFlushBytes, expand, pack, gemm};

}  // namespace bduo::kernels
