// What follows a bit GEMM, and bits from numbers, for AVX2.
#include <immintrin.h>

#include <cstring>

#include "kernels/stages.h"

namespace bduo::kernels {
namespace {

inline __m256i load(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }

// All ones in the lanes below n, zeros in the others.
inline __m256i first_lanes(int64_t n) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

// Scales the sums of 8 channels from `at` on, or of the first of them.
struct Scaler {
  __m256i clamp_min, clamp_max;
  __m128i shift;
  const float* multiplier;
  const float* bias;

  explicit Scaler(const Scaling& s)
      : clamp_min(_mm256_set1_epi32(s.clamp_min)),
        clamp_max(_mm256_set1_epi32(s.clamp_max)),
        shift(_mm_cvtsi32_si128(s.shift)),
        multiplier(s.multiplier),
        bias(s.bias) {}

  __m256 scaled(__m256i x, __m256 multipliers, __m256 biases) const {
    x = _mm256_max_epi32(_mm256_min_epi32(_mm256_sll_epi32(x, shift), clamp_max), clamp_min);
    return _mm256_add_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(x), multipliers), biases);
  }
  __m256 eight(const int32_t* x, int64_t at) const {
    return scaled(load(x + at), _mm256_loadu_ps(multiplier + at), _mm256_loadu_ps(bias + at));
  }
  __m256 first(__m256i lanes, const int32_t* x, int64_t at) const {
    return scaled(_mm256_maskload_epi32(x + at, lanes), _mm256_maskload_ps(multiplier + at, lanes), _mm256_maskload_ps(bias + at, lanes));
  }
};

void scale(const int32_t* x, int64_t n, const Scaling& scaling, const float* residual, float* y) {
  const Scaler scaler(scaling);
  int64_t i = 0;
  for (; i + 8 <= n; i += 8) {
    __m256 value = scaler.eight(x, i);
    if (residual != nullptr) value = _mm256_add_ps(value, _mm256_loadu_ps(residual + i));
    _mm256_storeu_ps(y + i, value);
  }
  if (i == n) return;
  const __m256i lanes = first_lanes(n - i);
  __m256 value = scaler.first(lanes, x, i);
  if (residual != nullptr) value = _mm256_add_ps(value, _mm256_maskload_ps(residual + i, lanes));
  _mm256_maskstore_ps(y + i, lanes, value);
}

// Saturates and rounds half away from zero: values are truncated, and moved by one more where the rest is at least a half.
inline __m256i round_saturated(__m256 y) {
  y = _mm256_max_ps(_mm256_min_ps(y, _mm256_set1_ps(127.0f)), _mm256_set1_ps(-128.0f));
  const __m256 sign = _mm256_and_ps(y, _mm256_set1_ps(-0.0f));
  const __m256 whole = _mm256_round_ps(y, _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC);
  const __m256 rest = _mm256_andnot_ps(_mm256_set1_ps(-0.0f), _mm256_sub_ps(y, whole));
  const __m256 away = _mm256_and_ps(_mm256_cmp_ps(rest, _mm256_set1_ps(0.5f), _CMP_GE_OQ), _mm256_or_ps(sign, _mm256_set1_ps(1.0f)));
  return _mm256_cvttps_epi32(_mm256_add_ps(whole, away));
}

inline void store_int8(__m256i x, int8_t* y) {
  const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
  _mm_storel_epi64(reinterpret_cast<__m128i*>(y), _mm_packs_epi16(words, words));
}

void scale_int8(const int32_t* x, int64_t n, const Scaling& scaling, int8_t* y) {
  const Scaler scaler(scaling);
  int64_t i = 0;
  for (; i + 8 <= n; i += 8) store_int8(round_saturated(scaler.eight(x, i)), y + i);
  if (i == n) return;
  int8_t last[8];
  store_int8(round_saturated(scaler.first(first_lanes(n - i), x, i)), last);
  std::memcpy(y + i, last, static_cast<size_t>(n - i));
}

void minimum(const int32_t* const* rows, int64_t count, int64_t n, int32_t* out) {
  for (int64_t i = 0; i < n; i += 8) {
    __m256i least = load(rows[0] + i);
    for (int64_t row = 1; row < count; ++row) least = _mm256_min_epi32(least, load(rows[row] + i));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + i), least);
  }
}

// The 32 bits, in order, of four comparisons of 8 lanes of 32 bits.
inline uint32_t bits_of(__m256i a, __m256i b, __m256i c, __m256i d) {
  const __m256i bytes = _mm256_packs_epi16(_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d));
  const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);  // packs works in halves of a register
  return static_cast<uint32_t>(_mm256_movemask_epi8(_mm256_permutevar8x32_epi32(bytes, order)));
}

inline uint8_t bits_of(__m256i a) { return static_cast<uint8_t>(_mm256_movemask_ps(_mm256_castsi256_ps(a))); }

inline __m256i greater(const int32_t* x, const int32_t* threshold) { return _mm256_cmpgt_epi32(load(x), load(threshold)); }

void compare(const int32_t* x, int64_t n, const int32_t* threshold, const uint8_t* inverted, uint8_t* bits) {
  int64_t i = 0;
  for (; i + 32 <= n; i += 32) {
    uint32_t invert;
    std::memcpy(&invert, inverted + i / 8, 4);
    const uint32_t word = invert ^ bits_of(greater(x + i, threshold + i), greater(x + i + 8, threshold + i + 8),
                                           greater(x + i + 16, threshold + i + 16), greater(x + i + 24, threshold + i + 24));
    std::memcpy(bits + i / 8, &word, 4);
  }
  for (; i < n; i += 8) bits[i / 8] = static_cast<uint8_t>(bits_of(greater(x + i, threshold + i)) ^ inverted[i / 8]);
}

inline __m256i negative(__m256 x) { return _mm256_castps_si256(_mm256_cmp_ps(x, _mm256_setzero_ps(), _CMP_LT_OQ)); }

void float_signs(const float* x, int64_t n, uint8_t* bits) {
  int64_t i = 0;
  for (; i + 32 <= n; i += 32) {
    const uint32_t word = bits_of(negative(_mm256_loadu_ps(x + i)), negative(_mm256_loadu_ps(x + i + 8)),
                                  negative(_mm256_loadu_ps(x + i + 16)), negative(_mm256_loadu_ps(x + i + 24)));
    std::memcpy(bits + i / 8, &word, 4);
  }
  for (; i + 8 <= n; i += 8) bits[i / 8] = bits_of(negative(_mm256_loadu_ps(x + i)));
  if (i < n) bits[i / 8] = bits_of(negative(_mm256_maskload_ps(x + i, first_lanes(n - i))));
}

void int8_signs(const int8_t* x, int64_t n, int8_t zero_point, uint8_t* bits) {
  const __m256i zero = _mm256_set1_epi8(zero_point);
  int64_t i = 0;
  for (; i + 32 <= n; i += 32) {
    const uint32_t word = static_cast<uint32_t>(_mm256_movemask_epi8(_mm256_cmpgt_epi8(zero, load(x + i))));
    std::memcpy(bits + i / 8, &word, 4);
  }
  if (i == n) return;
  int8_t last[32];
  std::memset(last, zero_point, sizeof(last));
  std::memcpy(last, x + i, static_cast<size_t>(n - i));
  const uint32_t word = static_cast<uint32_t>(_mm256_movemask_epi8(_mm256_cmpgt_epi8(zero, load(last))));
  std::memcpy(bits + i / 8, &word, static_cast<size_t>((n - i + 7) / 8));
}

// The first eight numbers of every row. Where `negated` has a bit, both sides are negated, which turns the comparison round.
// kMasked reads and counts only `lanes`.
template <bool kMasked>
inline void eight_below(const FloatRows& x, __m256i lanes, __m256 threshold, uint8_t negated, uint8_t* bits, int64_t bits_stride) {
  const __m256i bit = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
  const __m256i chosen = _mm256_cmpeq_epi32(_mm256_and_si256(_mm256_set1_epi32(negated), bit), bit);
  const __m256 sign = _mm256_and_ps(_mm256_castsi256_ps(chosen), _mm256_set1_ps(-0.0f));
  threshold = _mm256_xor_ps(threshold, sign);
  const float* from = x.first;
  for (int64_t row = 0; row < x.rows; ++row, from += x.stride, bits += bits_stride) {
    const __m256 value = _mm256_xor_ps(kMasked ? _mm256_maskload_ps(from, lanes) : _mm256_loadu_ps(from), sign);
    __m256i below = _mm256_castps_si256(_mm256_cmp_ps(value, threshold, _CMP_LT_OQ));
    if (kMasked) below = _mm256_and_si256(below, lanes);
    *bits = bits_of(below);
  }
}

void float_below(const FloatRows& x, const float* threshold, const uint8_t* negated, uint8_t* bits, int64_t bits_stride) {
  FloatRows eight = x;
  int64_t i = 0;
  for (; i + 8 <= x.n; i += 8, eight.first += 8) {
    eight_below<false>(eight, _mm256_setzero_si256(), _mm256_loadu_ps(threshold + i), negated[i / 8], bits + i / 8, bits_stride);
  }
  if (i == x.n) return;
  const __m256i lanes = first_lanes(x.n - i);
  eight_below<true>(eight, lanes, _mm256_maskload_ps(threshold + i, lanes), negated[i / 8], bits + i / 8, bits_stride);
}

}  // namespace

constexpr Stages avx2_stages = [] {
  Stages stages;
  stages.scale = scale;
  stages.scale_int8 = scale_int8;
  stages.minimum = minimum;
  stages.compare = compare;
  stages.float_signs = float_signs;
  stages.int8_signs = int8_signs;
  stages.float_below = float_below;
  return stages;
}();

}  // namespace bduo::kernels
