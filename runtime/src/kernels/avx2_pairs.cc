// The bit GEMM for AVX2 by table look-up for two patches at once.
//
// It works as avx2_lut.cc does, but a table holds the counts of two patches: popcount(a ^ w) in the low and popcount(b ^ w) in the high
// nibble, for nibbles a and b of neighbouring patches and the 16 nibbles w of weights. One vpshufb looks up 256 multiply-adds. Three
// results fit in a nibble; then the high ones are added to one register, and the whole bytes, carries and all, to another: the low patch's
// sum is what remains of it modulo 256 without the high patch's. That is 9 instructions for 3 look-ups, against 12 of single ones, and half
// the shuffles, which few ports can do.
//
// A last block of at most 16 outputs has them in both halves of a register, which look up two pairs of patches.
#include "kernels/avx2_lut.h"

namespace bduo::kernels {
namespace {

constexpr int32_t kFlushBytes = 30;  // a byte holds 30 * 8, and 30 is a multiple of the 3 bytes that are added up before they are split
constexpr int32_t kHalf = kBlock / 2;

struct Tables {
  alignas(64) uint8_t nibbles[256][16];
};

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

void pack(const uint8_t* rows, int64_t k_bytes, int32_t outputs, uint8_t* out) {
  if (outputs > kHalf) return pack_interleaved(rows, k_bytes, outputs, out);
  for (int32_t lane = 0; lane < kHalf; ++lane) {
    uint8_t* column = out + (lane < 8 ? 2 * lane : 2 * (lane - 8) + 1);
    for (int64_t k = 0; k < k_bytes; ++k) column[k * kBlock] = column[k * kBlock + kHalf] = rows[lane * k_bytes + k];
  }
}

// A byte a and the byte b of the patch beside it become two offsets of tables, of 16 bits each: of the low nibbles and of the high ones.
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

  // Adds the results of at most three look-ups.
  void add(const __m256i (&some)[kTile]) {
#pragma GCC unroll 8
    for (int p = 0; p < kTile; ++p) {
      both[p] = _mm256_add_epi8(both[p], some[p]);
      high[p] = _mm256_add_epi8(high[p], high_of(some[p]));
    }
  }
};

inline __m128i table_at(const uint8_t* offset_at) {
  uint16_t offset;
  __builtin_memcpy(&offset, offset_at, 2);
  return _mm_load_si128(reinterpret_cast<const __m128i*>(&kTables.nibbles[0][0] + offset));
}

// kShare pairs of patches share a register.
template <int kShare>
inline __m256i tables_at(const uint8_t* const* patches, int64_t position) {
  const __m128i first = table_at(patches[0] + 2 * position);
  if constexpr (kShare == 1) return _mm256_broadcastsi128_si256(first);
  return _mm256_inserti128_si256(_mm256_castsi128_si256(first), table_at(patches[kShare - 1] + 2 * position), 1);
}

// Looks up nibble `position` of all patches of a tile. The first results are put into `some`, later ones are added to it.
template <int kTile, int kShare, bool kFirst>
inline void look_up(const uint8_t* const (&patches)[kTile * kShare], int64_t position, __m256i nibbles, __m256i (&some)[kTile]) {
#pragma GCC unroll 8
  for (int p = 0; p < kTile; ++p) {
    const __m256i counts = _mm256_shuffle_epi8(tables_at<kShare>(patches + p * kShare, position), nibbles);
    some[p] = kFirst ? counts : _mm256_add_epi8(some[p], counts);
  }
}

// Stores the sums of 16 outputs: those of patch `row` and, if there is another pair, of its patch, which is two rows on.
inline void store_halves(const GemmCall& call, int64_t row, bool both, int32_t block, const __m256i (&wide)[2]) {
#pragma GCC unroll 8
  for (int i = 0; i < 2; ++i) {
    store_eight(call, _mm256_castsi256_si128(wide[i]), sums_of(call, row, block) + 8 * i);
    if (both) store_eight(call, _mm256_extracti128_si256(wide[i], 1), sums_of(call, row + 2, block) + 8 * i);
  }
}

template <int kTile, int kShare>
void tile(const GemmCall& call, int64_t first_patch, int32_t block) {
  const uint8_t* weights = call.weights + block * call.block_stride;
  __m256i wide[kTile][2][2];
  Sums<kTile> sums;
  sums.clear();
#pragma GCC unroll 8
  for (int p = 0; p < kTile; ++p) wide[p][0][0] = wide[p][0][1] = wide[p][1][0] = wide[p][1][1] = _mm256_setzero_si256();

  for (const Run* run = call.runs; run != call.runs + call.run_count; ++run) {
    const uint8_t* patches[kTile * kShare];
#pragma GCC unroll 8
    for (int p = 0; p < kTile * kShare; ++p) {
      const int64_t patch = first_patch + p < call.patch_count ? first_patch + p : call.patch_count - 1;
      patches[p] = call.patches[patch] + call.patch_offset + run->offset;
    }
    __m256i some[kTile];
    int64_t k = 0;
    for (; k + 3 <= run->bytes; k += 3, weights += 3 * kBlock) {
      look_up<kTile, kShare, true>(patches, 2 * k, low_of(load(weights)), some);
      look_up<kTile, kShare, false>(patches, 2 * k + 1, high_of(load(weights)), some);
      look_up<kTile, kShare, false>(patches, 2 * k + 2, low_of(load(weights + kBlock)), some);
      sums.add(some);
      look_up<kTile, kShare, true>(patches, 2 * k + 3, high_of(load(weights + kBlock)), some);
      look_up<kTile, kShare, false>(patches, 2 * k + 4, low_of(load(weights + 2 * kBlock)), some);
      look_up<kTile, kShare, false>(patches, 2 * k + 5, high_of(load(weights + 2 * kBlock)), some);
      sums.add(some);
    }
    for (; k < run->bytes; ++k, weights += kBlock) {
      look_up<kTile, kShare, true>(patches, 2 * k, low_of(load(weights)), some);
      look_up<kTile, kShare, false>(patches, 2 * k + 1, high_of(load(weights)), some);
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
    const int64_t patch = first_patch + p * kShare;
#pragma GCC unroll 8
    for (int side = 0; side < 2; ++side) {
      if constexpr (kShare == 1) {
        store_sums(call, 2 * patch + side, block, wide[p][side]);
      } else {
        store_halves(call, 2 * patch + side, patch + 1 < call.patch_count, block, wide[p][side]);
      }
    }
  }
}

// Multiplies all patches by one block, the last patches in smaller tiles.
template <int kTile, int kShare>
void tiles(const GemmCall& call, int64_t first_patch, int32_t block) {
  constexpr int kPatches = kTile * kShare;
  constexpr int kLeast = kTile > 1 ? kPatches : 1;  // the smallest tile also takes what does not fill it
  for (; first_patch + kLeast <= call.patch_count; first_patch += kPatches) tile<kTile, kShare>(call, first_patch, block);
  if constexpr (kTile > 1) tiles<kTile - 1, kShare>(call, first_patch, block);
}

void gemm(const GemmCall& call) {
  const bool half = call.last_outputs <= kHalf;
  const int32_t whole = half ? call.blocks - 1 : call.blocks;
  for (int32_t block = 0; block < whole; ++block) tiles<2, 1>(call, 0, block);  // larger tiles spill registers
  if (half) tiles<2, 2>(call, 0, whole);
}

}  // namespace

constexpr BitGemm avx2_pairs = [] {
  BitGemm kernel;
  kernel.patches = 2;
  kernel.expansion = 4;
  kernel.flush_bytes = kFlushBytes;
  kernel.expand = expand;
  kernel.pack = pack;
  kernel.gemm = gemm;
  return kernel;
}();

}  // namespace bduo::kernels
