// What follows a bit GEMM, and bits from numbers, in plain C++ for any machine.
#include <algorithm>
#include <cmath>

#include "kernels/stages.h"

namespace bduo::kernels {
namespace {

float scaled(int32_t x, int64_t channel, const Scaling& s) {
  // Multiplication and addition are rounded one by one: the build has -ffp-contract=off.
  return static_cast<float>(std::max(std::min(x << s.shift, s.clamp_max), s.clamp_min)) * s.multiplier[channel] + s.bias[channel];
}

void scale(const int32_t* x, int64_t n, const Scaling& scaling, const float* residual, float* y) {
  for (int64_t i = 0; i < n; ++i) {
    const float value = scaled(x[i], i, scaling);
    y[i] = residual != nullptr ? value + residual[i] : value;
  }
}

void scale_int8(const int32_t* x, int64_t n, const Scaling& scaling, int8_t* y) {
  for (int64_t i = 0; i < n; ++i) {
    float value = scaled(x[i], i, scaling);
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

// Packs eight bits to a byte, from any predicate of the index.
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

void float_below(const FloatRows& x, const float* threshold, const uint8_t* negated, uint8_t* bits, int64_t bits_stride) {
  const float* from = x.first;
  const int64_t rows = x.rows, stride = x.stride, n = x.n;  // bits, being bytes, might alias x
  for (int64_t row = 0; row < rows; ++row, from += stride, bits += bits_stride) {
    pack_bits(n, bits, [=](int64_t i) { return bit_at(negated, i) ? from[i] > threshold[i] : from[i] < threshold[i]; });
  }
}

}  // namespace

constexpr Stages portable_stages = [] {
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
