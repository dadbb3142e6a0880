// What follows a bit GEMM, and bits from numbers, for NEON.
#include <arm_neon.h>

#include <cstring>

#include "kernels/stages.h"

namespace bduo::kernels {
namespace {

// Holds the first n < kCount of `from`, and zeros after them.
template <int kCount, class T>
struct Padded {
  T values[kCount] = {};
  Padded(const T* from, int64_t n) { std::memcpy(values, from, static_cast<size_t>(n) * sizeof(T)); }
};

struct Scaler {
  int32x4_t shift, clamp_min, clamp_max;

  explicit Scaler(const Scaling& s)
      : shift(vdupq_n_s32(s.shift)), clamp_min(vdupq_n_s32(s.clamp_min)), clamp_max(vdupq_n_s32(s.clamp_max)) {}

  // Scales 4 sums. They are multiplied and added in two roundings: the build has -ffp-contract=off.
  float32x4_t operator()(const int32_t* x, const float* multiplier, const float* bias) const {
    const int32x4_t clamped = vmaxq_s32(vminq_s32(vshlq_s32(vld1q_s32(x), shift), clamp_max), clamp_min);
    return vaddq_f32(vmulq_f32(vcvtq_f32_s32(clamped), vld1q_f32(multiplier)), vld1q_f32(bias));
  }
};

void scale(const int32_t* x, int64_t n, const Scaling& scaling, const float* residual, float* y) {
  const Scaler scaler(scaling);
  const float *multiplier = scaling.multiplier, *bias = scaling.bias;
  const int64_t whole = n / 4 * 4;
  if (residual == nullptr) {
    for (int64_t i = 0; i < whole; i += 4) vst1q_f32(y + i, scaler(x + i, multiplier + i, bias + i));
  } else {
    for (int64_t i = 0; i < whole; i += 4) vst1q_f32(y + i, vaddq_f32(scaler(x + i, multiplier + i, bias + i), vld1q_f32(residual + i)));
  }
  if (whole == n) return;
  const int64_t rest = n - whole;
  const Padded<4, int32_t> sums(x + whole, rest);
  const Padded<4, float> multipliers(multiplier + whole, rest), biases(bias + whole, rest);
  float32x4_t value = scaler(sums.values, multipliers.values, biases.values);
  if (residual != nullptr) {
    const Padded<4, float> added(residual + whole, rest);
    value = vaddq_f32(value, vld1q_f32(added.values));
  }
  float last[4];
  vst1q_f32(last, value);
  std::memcpy(y + whole, last, static_cast<size_t>(rest) * sizeof(float));
}

// Saturates and rounds half away from zero; minnm and maxnm give the number where the other is NaN.
inline int32x4_t round_saturated(float32x4_t y) {
  return vcvtaq_s32_f32(vmaxnmq_f32(vminnmq_f32(y, vdupq_n_f32(127.0f)), vdupq_n_f32(-128.0f)));
}

void scale_int8(const int32_t* x, int64_t n, const Scaling& scaling, int8_t* y) {
  const Scaler scaler(scaling);
  const float *multiplier = scaling.multiplier, *bias = scaling.bias;
  const auto eight = [&](const int32_t* sums, const float* m, const float* b) {
    const int32x4_t low = round_saturated(scaler(sums, m, b)), high = round_saturated(scaler(sums + 4, m + 4, b + 4));
    return vmovn_s16(vcombine_s16(vmovn_s32(low), vmovn_s32(high)));
  };
  const int64_t whole = n / 8 * 8;
  for (int64_t i = 0; i < whole; i += 8) vst1_s8(y + i, eight(x + i, multiplier + i, bias + i));
  if (whole == n) return;
  const int64_t rest = n - whole;
  int8_t last[8];
  vst1_s8(last, eight(Padded<8, int32_t>(x + whole, rest).values, Padded<8, float>(multiplier + whole, rest).values,
                      Padded<8, float>(bias + whole, rest).values));
  std::memcpy(y + whole, last, static_cast<size_t>(rest));
}

void minimum(const int32_t* const* rows, int64_t count, int64_t n, int32_t* out) {
  for (int64_t i = 0; i < n; i += 8) {
    int32x4_t low = vld1q_s32(rows[0] + i), high = vld1q_s32(rows[0] + i + 4);
    for (int64_t row = 1; row < count; ++row) {
      low = vminq_s32(low, vld1q_s32(rows[row] + i));
      high = vminq_s32(high, vld1q_s32(rows[row] + i + 4));
    }
    vst1q_s32(out + i, low);
    vst1q_s32(out + i + 4, high);
  }
}

// Narrows comparisons, all ones or zeros, to bytes.
inline uint8x8_t bytes_of(uint32x4_t low, uint32x4_t high) {
  return vmovn_u16(vuzp1q_u16(vreinterpretq_u16_u32(low), vreinterpretq_u16_u32(high)));
}
inline uint8x16_t bytes_of(uint32x4_t a, uint32x4_t b, uint32x4_t c, uint32x4_t d) {
  const uint16x8_t low = vuzp1q_u16(vreinterpretq_u16_u32(a), vreinterpretq_u16_u32(b));
  const uint16x8_t high = vuzp1q_u16(vreinterpretq_u16_u32(c), vreinterpretq_u16_u32(d));
  return vuzp1q_u8(vreinterpretq_u8_u16(low), vreinterpretq_u8_u16(high));
}

inline uint8x16_t bit_values() { return vreinterpretq_u8_u64(vdupq_n_u64(0x8040201008040201u)); }

// Gathers 8 or 16 comparisons in as many bits.
inline uint8_t bits_of(uint8x8_t bytes) { return vaddv_u8(vand_u8(bytes, vget_low_u8(bit_values()))); }
inline void store_bits(uint8x16_t bytes, uint8_t* bits) {
  uint8x16_t sums = vandq_u8(bytes, bit_values());
  sums = vpaddq_u8(sums, sums);
  sums = vpaddq_u8(sums, sums);
  const uint16_t word = vgetq_lane_u16(vreinterpretq_u16_u8(vpaddq_u8(sums, sums)), 0);
  std::memcpy(bits, &word, 2);
}

// Spreads bits to all ones or zeros for 4 or 16 numbers.
inline uint32x4_t chosen_of_four(uint8_t bits, uint32x4_t values) { return vtstq_u32(vdupq_n_u32(bits), values); }
inline uint8x16_t chosen_of_sixteen(const uint8_t* bits) {
  return vtstq_u8(vcombine_u8(vdup_n_u8(bits[0]), vdup_n_u8(bits[1])), bit_values());
}

inline uint32x4_t greater(const int32_t* x, const int32_t* threshold) { return vcgtq_s32(vld1q_s32(x), vld1q_s32(threshold)); }

void compare(const int32_t* x, int64_t n, const int32_t* threshold, const uint8_t* inverted, uint8_t* bits) {
  int64_t i = 0;
  for (; i + 8 < n; i += 16) {
    const uint8x16_t bytes = bytes_of(greater(x + i, threshold + i), greater(x + i + 4, threshold + i + 4),
                                      greater(x + i + 8, threshold + i + 8), greater(x + i + 12, threshold + i + 12));
    store_bits(veorq_u8(bytes, chosen_of_sixteen(inverted + i / 8)), bits + i / 8);
  }
  if (i >= n) return;
  const uint8_t byte = bits_of(bytes_of(greater(x + i, threshold + i), greater(x + i + 4, threshold + i + 4)));
  bits[i / 8] = static_cast<uint8_t>(byte ^ inverted[i / 8]);
}

void float_signs(const float* x, int64_t n, uint8_t* bits) {
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) {
    store_bits(bytes_of(vcltzq_f32(vld1q_f32(x + i)), vcltzq_f32(vld1q_f32(x + i + 4)), vcltzq_f32(vld1q_f32(x + i + 8)),
                        vcltzq_f32(vld1q_f32(x + i + 12))),
               bits + i / 8);
  }
  const auto eight = [](const float* from) { return bits_of(bytes_of(vcltzq_f32(vld1q_f32(from)), vcltzq_f32(vld1q_f32(from + 4)))); };
  for (; i + 8 <= n; i += 8) bits[i / 8] = eight(x + i);
  if (i < n) bits[i / 8] = eight(Padded<8, float>(x + i, n - i).values);
}

void int8_signs(const int8_t* x, int64_t n, int8_t zero_point, uint8_t* bits) {
  const int8x16_t zero = vdupq_n_s8(zero_point);
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) store_bits(vcltq_s8(vld1q_s8(x + i), zero), bits + i / 8);
  if (i == n) return;
  int8_t last[16];
  std::memset(last, zero_point, sizeof(last));
  std::memcpy(last, x + i, static_cast<size_t>(n - i));
  uint8_t word[2];
  store_bits(vcltq_s8(vld1q_s8(last), zero), word);
  std::memcpy(bits + i / 8, word, static_cast<size_t>((n - i + 7) / 8));
}

// Compares four numbers at a time. Where `negated` has a bit both sides are negated, which turns the comparison round.
struct Below {
  uint32x4_t sign;
  uint32x4_t threshold;

  Below(const float* thresholds, uint8_t negated, uint32x4_t values)
      : sign(vandq_u32(chosen_of_four(negated, values), vdupq_n_u32(0x80000000u))),
        threshold(veorq_u32(vreinterpretq_u32_f32(vld1q_f32(thresholds)), sign)) {}

  uint32x4_t operator()(const float* x) const {
    const uint32x4_t value = veorq_u32(vreinterpretq_u32_f32(vld1q_f32(x)), sign);
    return vcltq_f32(vreinterpretq_f32_u32(value), vreinterpretq_f32_u32(threshold));
  }
};

void float_below(const FloatRows& x, const float* threshold, const uint8_t* negated, uint8_t* bits, int64_t bits_stride) {
  const uint32x4_t low = {1, 2, 4, 8}, high = {16, 32, 64, 128};
  const int64_t n = x.n, rows = x.rows, stride = x.stride;
  const float* first = x.first;
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) {
    const uint8_t* g = negated + i / 8;
    const float* t = threshold + i;
    const Below a(t, g[0], low), b(t + 4, g[0], high), c(t + 8, g[1], low), d(t + 12, g[1], high);
    const float* from = first + i;
    uint8_t* to = bits + i / 8;
    for (int64_t row = 0; row < rows; ++row, from += stride, to += bits_stride) {
      store_bits(bytes_of(a(from), b(from + 4), c(from + 8), d(from + 12)), to);
    }
  }
  for (; i + 8 <= n; i += 8) {
    const Below a(threshold + i, negated[i / 8], low), b(threshold + i + 4, negated[i / 8], high);
    for (int64_t row = 0; row < rows; ++row) {
      const float* from = first + row * stride + i;
      bits[row * bits_stride + i / 8] = bits_of(bytes_of(a(from), b(from + 4)));
    }
  }
  if (i == n) return;
  const Padded<8, float> thresholds(threshold + i, n - i);
  const Below a(thresholds.values, negated[i / 8], low), b(thresholds.values + 4, negated[i / 8], high);
  const uint8_t mask = static_cast<uint8_t>((1 << (n - i)) - 1);  // `negated` may have bits beyond
  for (int64_t row = 0; row < rows; ++row) {
    const Padded<8, float> values(first + row * stride + i, n - i);
    bits[row * bits_stride + i / 8] = static_cast<uint8_t>(bits_of(bytes_of(a(values.values), b(values.values + 4))) & mask);
  }
}

}  // namespace

constexpr Stages neon_stages = [] {
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
