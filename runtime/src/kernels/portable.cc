// Kernels in plain C++ for any machine; also what the others must equal.
#include <algorithm>
#include <climits>
#include <cmath>

#include "kernels/scalar.h"

namespace bduo::kernels {
namespace {

// Sums of neighbouring bits, then pairs, then nibbles, then all bytes by one multiplication.
struct Swar {
  int operator()(uint64_t x) const {
    x -= (x >> 1) & 0x5555555555555555u;
    x = (x & 0x3333333333333333u) + ((x >> 2) & 0x3333333333333333u);
    x = (x + (x >> 4)) & 0x0f0f0f0f0f0f0f0fu;
    return static_cast<int>((x * 0x0101010101010101u) >> 56);
  }
};

float scaled(int32_t x, int shift, int32_t clamp_min, int32_t clamp_max, float multiplier, float bias) {
  // Multiplication and addition are rounded one by one: the build has -ffp-contract=off.
  return static_cast<float>(std::max(std::min(x << shift, clamp_max), clamp_min)) * multiplier + bias;
}

void scale(const int32_t* x, int64_t n, int shift, int32_t clamp_min, int32_t clamp_max, const float* multiplier, const float* bias,
           const float* residual, float* y) {
  for (int64_t i = 0; i < n; ++i) {
    const float value = scaled(x[i], shift, clamp_min, clamp_max, multiplier[i], bias[i]);
    y[i] = residual != nullptr ? value + residual[i] : value;
  }
}

void scale_int8(const int32_t* x, int64_t n, int shift, int32_t clamp_min, int32_t clamp_max, const float* multiplier, const float* bias,
                int8_t* y) {
  for (int64_t i = 0; i < n; ++i) {
    float value = scaled(x[i], shift, clamp_min, clamp_max, multiplier[i], bias[i]);
    value = value < 127.0f ? value : 127.0f;
    value = value > -128.0f ? value : -128.0f;
    y[i] = static_cast<int8_t>(std::round(value));
  }
}

void minimum(const int32_t* const* rows, int64_t count, int64_t n, int32_t* out) {
  for (int64_t i = 0; i < n; ++i) {
    int32_t least = rows[0][i];
    for (int64_t row = 1; row < count; ++row) least = std::min(least, rows[row][i]);
    out[i] = least;
  }
}

// Eight bits a byte, from any predicate of the index.
template <class Predicate>
void pack_bits(int64_t n, uint8_t* bits, Predicate predicate) {
  for (int64_t first = 0; first < n; first += 8) {
    uint8_t byte = 0;
    for (int64_t i = first; i < std::min(first + 8, n); ++i) byte = static_cast<uint8_t>(byte | (predicate(i) ? 1 : 0) << (i - first));
    bits[first / 8] = byte;
  }
}

bool bit_at(const uint8_t* bits, int64_t i) { return (bits[i / 8] >> (i % 8) & 1) != 0; }

void compare(const int32_t* x, int64_t n, const int32_t* threshold, const uint8_t* inverted, uint8_t* bits) {
  pack_bits(n, bits, [=](int64_t i) { return (x[i] > threshold[i]) != bit_at(inverted, i); });
}

void float_signs(const float* x, int64_t n, uint8_t* bits) {
  pack_bits(n, bits, [=](int64_t i) { return x[i] < 0.0f; });
}

void int8_signs(const int8_t* x, int64_t n, int8_t zero_point, uint8_t* bits) {
  pack_bits(n, bits, [=](int64_t i) { return x[i] < zero_point; });
}

void float_below(const float* x, int64_t x_stride, int64_t rows, int64_t n, const float* threshold, const uint8_t* greater, uint8_t* bits,
                 int64_t bits_stride) {
  for (int64_t row = 0; row < rows; ++row, x += x_stride, bits += bits_stride) {
    pack_bits(n, bits, [=](int64_t i) { return bit_at(greater, i) ? x[i] > threshold[i] : x[i] < threshold[i]; });
  }
}

}  // namespace

const BitGemm portable = {"portable", Isa::kPortable, 1, 4, 1, INT_MAX, scalar::expand, scalar::pack, scalar::gemm<Swar>};
const Stages portable_stages = {Isa::kPortable, scale,       scale_int8, minimum,    compare,
                                float_signs,    int8_signs, float_below};

}  // namespace bduo::kernels
