// The loop reference is a binary convolution over single channels of +1 and -1, in the plainest form, and its stages.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "check.h"
#include "conv/binary_conv.h"

namespace bduo::test {

// Turns +1 and -1 into bits in a layout; every bit without a channel is 0.
inline std::vector<int32_t> to_bits(const std::vector<int8_t>& values, const ChannelLayout& layout) {
  const size_t channels = layout.position.size(), pixels = values.size() / channels, words = static_cast<size_t>(layout.words);
  std::vector<int32_t> bits(pixels * words);
  for (size_t p = 0; p < pixels; ++p) {
    for (size_t c = 0; c < channels; ++c) {
      const size_t at = static_cast<size_t>(layout.position[c]);
      if (values[p * channels + c] < 0) bits[p * words + at / 32] |= static_cast<int32_t>(uint32_t{1} << at % 32);
    }
  }
  return bits;
}

inline std::vector<int8_t> random_signs(int64_t count, Random& random) {
  std::vector<int8_t> signs(static_cast<size_t>(count));
  for (int8_t& sign : signs) sign = random.coin() ? 1 : -1;
  return signs;
}

// Dot products [batch][output_height][output_width][channels_out] of signs NHWC and filters OHWI.
inline std::vector<int32_t> dot_products(const ConvShape& s, const std::vector<int8_t>& input, const std::vector<int8_t>& filter) {
  const Window& w = s.window;
  const int32_t channels = s.channels_in / s.groups, outputs = s.channels_out / s.groups;
  std::vector<int32_t> result;
  for (int32_t n = 0; n < s.batch; ++n) {
    for (int32_t y = 0; y < s.output_height; ++y) {
      for (int32_t x = 0; x < s.output_width; ++x) {
        for (int32_t o = 0; o < s.channels_out; ++o) {
          int32_t sum = 0;
          for (int32_t ky = 0; ky < w.height; ++ky) {
            for (int32_t kx = 0; kx < w.width; ++kx) {
              const int32_t iy = y * w.stride_height - w.pad_top + ky * w.dilation_height;
              const int32_t ix = x * w.stride_width - w.pad_left + kx * w.dilation_width;
              const bool inside = iy >= 0 && iy < s.input_height && ix >= 0 && ix < s.input_width;
              const int8_t* weights = filter.data() + ((int64_t{o} * w.height + ky) * w.width + kx) * channels;
              const int8_t* pixel = input.data();
              if (inside) pixel += ((int64_t{n} * s.input_height + iy) * s.input_width + ix) * s.channels_in + o / outputs * channels;
              const int32_t padding = s.zero_padding ? 0 : 1;
              for (int32_t c = 0; c < channels; ++c) sum += weights[c] * (inside ? pixel[c] : padding);
            }
          }
          result.push_back(sum);
        }
      }
    }
  }
  return result;
}

inline int32_t clamped(int32_t dot, Activation activation) {
  switch (activation) {
    case Activation::kRelu: return std::max(dot, 0);
    case Activation::kRelu1: return std::min(std::max(dot, -1), 1);
    case Activation::kRelu6: return std::min(std::max(dot, 0), 6);
    case Activation::kNone: break;
  }
  return dot;
}

// LCE's order: x = K - dot as a float, times -multiplier / scale, plus (bias + K * multiplier) / scale + zero point; both constants
// are computed in double and rounded to float.
inline float transformed(int32_t dot, Activation activation, int64_t depth, float multiplier, float bias, double scale, double zero_point) {
  const float m = static_cast<float>(-1 * static_cast<double>(multiplier) / scale);
  const float b = static_cast<float>((static_cast<double>(bias) + static_cast<double>(depth) * multiplier) / scale + zero_point);
  volatile float product = static_cast<float>(depth - clamped(dot, activation)) * m;
  return product + b;
}

inline int8_t rounded_int8(float y) {
  const double r = std::round(static_cast<double>(y));
  return static_cast<int8_t>(std::min(std::max(r, -128.0), 127.0));
}

// Maxima over the pool's window of a convolution's values, NHWC.
inline std::vector<int32_t> max_pooled(const PoolShape& s, int32_t channels, const std::vector<int32_t>& values) {
  std::vector<int32_t> result;
  for (int32_t n = 0; n < s.batch; ++n) {
    for (int32_t y = 0; y < s.output_height; ++y) {
      for (int32_t x = 0; x < s.output_width; ++x) {
        for (int32_t c = 0; c < channels; ++c) {
          int32_t most = INT32_MIN;
          for (int32_t ky = 0; ky < s.window.height; ++ky) {
            for (int32_t kx = 0; kx < s.window.width; ++kx) {
              const int32_t iy = y * s.window.stride_height - s.window.pad_top + ky;
              const int32_t ix = x * s.window.stride_width - s.window.pad_left + kx;
              if (iy < 0 || iy >= s.input_height || ix < 0 || ix >= s.input_width) continue;
              most = std::max(most, values[static_cast<size_t>(((int64_t{n} * s.input_height + iy) * s.input_width + ix) * channels + c)]);
            }
          }
          result.push_back(most);
        }
      }
    }
  }
  return result;
}

}  // namespace bduo::test
