// Operators between bits and numbers, over rows in parallel.
#include "conv/bits.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "file_limits.h"
#include "kernels/cpu.h"
#include "kernels/dispatch.h"

namespace bduo {
namespace {

constexpr int64_t kGrain = 1 << 14;  // numbers a task should have at least

// Calls work(first, last) for ranges of rows.
template <class Work>
void over_rows(int64_t rows, int64_t row_size, ThreadPool& pool, const Work& work) {
  const int64_t most = pool.threads() == 1 ? 1 : int64_t{4} * pool.threads();
  const int64_t tasks = std::max<int64_t>(1, std::min({most, rows, rows * row_size / kGrain}));
  pool.run(tasks, [&](int64_t task, int) { work(rows * task / tasks, rows * (task + 1) / tasks); });
}

// Calls signs(x, n, bits) for every row; rows without padding bits make one long row.
template <class T, class Signs>
void quantize_rows(const T* input, int64_t rows, int32_t channels, int32_t* output, ThreadPool& pool, const Signs& signs) {
  const int64_t bytes = (int64_t{channels} + 7) / 8, stride = int64_t{words_of(channels)} * 4;
  uint8_t* out = reinterpret_cast<uint8_t*>(output);
  over_rows(rows, channels, pool, [&](int64_t first, int64_t last) {
    if (channels % 32 == 0) {
      signs(input + first * channels, (last - first) * channels, out + first * stride);
      return;
    }
    for (int64_t row = first; row < last; ++row) {
      signs(input + row * channels, channels, out + row * stride);
      std::memset(out + row * stride + bytes, 0, static_cast<size_t>(stride - bytes));
    }
  });
}

// Makes all bits equal, but padding bits 0.
void fill_bits(bool bit, int64_t n, uint8_t* bits) {
  std::memset(bits, bit ? 0xff : 0, static_cast<size_t>((n + 7) / 8));
  if (bit && n % 8 != 0) bits[n / 8] = static_cast<uint8_t>((1 << n % 8) - 1);
}

template <class T>
void dequantize_rows(const int32_t* input, int64_t rows, int32_t channels, T one, T zero, T* output, ThreadPool& pool) {
  const int64_t stride = int64_t{words_of(channels)} * 4;
  const uint8_t* bits = reinterpret_cast<const uint8_t*>(input);
  over_rows(rows, channels, pool, [&](int64_t first, int64_t last) {
    for (int64_t row = first; row < last; ++row) {
      const uint8_t* from = bits + row * stride;
      T* to = output + row * channels;
      for (int64_t c = 0; c < channels; ++c) to[c] = (from[c / 8] >> (c % 8) & 1) != 0 ? one : zero;
    }
  });
}

}  // namespace

void quantize(const float* input, int64_t rows, int32_t channels, int32_t* output, ThreadPool& pool) {
  quantize_rows(input, rows, channels, output, pool, best_stages(cpu_features()).code->float_signs);
}

void quantize(const int8_t* input, int32_t zero_point, int64_t rows, int32_t channels, int32_t* output, ThreadPool& pool) {
  if (zero_point <= -128 || zero_point > 127) {
    quantize_rows(input, rows, channels, output, pool,
                  [=](const int8_t*, int64_t n, uint8_t* bits) { fill_bits(zero_point > 127, n, bits); });
    return;
  }
  const auto signs = best_stages(cpu_features()).code->int8_signs;
  quantize_rows(input, rows, channels, output, pool,
                [=](const int8_t* x, int64_t n, uint8_t* bits) { signs(x, n, static_cast<int8_t>(zero_point), bits); });
}

void quantize(const bool* input, int64_t rows, int32_t channels, int32_t* output, ThreadPool& pool) {
  // Bytes of a bool tensor come from elsewhere: any value but 0 is true.
  quantize_rows(reinterpret_cast<const uint8_t*>(input), rows, channels, output, pool, [](const uint8_t* x, int64_t n, uint8_t* bits) {
    fill_bits(false, n, bits);
    for (int64_t i = 0; i < n; ++i) bits[i / 8] = static_cast<uint8_t>(bits[i / 8] | (x[i] == 0 ? 1 : 0) << (i % 8));
  });
}

void dequantize(const int32_t* input, int64_t rows, int32_t channels, float one, float zero, float* output, ThreadPool& pool) {
  dequantize_rows(input, rows, channels, one, zero, output, pool);
}

void dequantize(const int32_t* input, int64_t rows, int32_t channels, int8_t one, int8_t zero, int8_t* output, ThreadPool& pool) {
  dequantize_rows(input, rows, channels, one, zero, output, pool);
}

void dequantize(const int32_t* input, int64_t rows, int32_t channels, bool one, bool zero, bool* output, ThreadPool& pool) {
  dequantize_rows(input, rows, channels, one, zero, output, pool);
}

Status int8_values(float scale, int32_t zero_point, int8_t* one, int8_t* zero) {
  if (!(scale > 0) || !std::isfinite(scale)) return Status::error("the scale of int8 values is not positive and finite");
  const int64_t offset = static_cast<int64_t>(std::round(std::min(1.0f / scale, 1e9f)));
  const auto clamp = [](int64_t x) { return static_cast<int8_t>(std::min<int64_t>(std::max<int64_t>(x, -128), 127)); };
  *zero = clamp(zero_point + offset);
  *one = clamp(zero_point - offset);
  return Status();
}

Status ThresholdQuantize::validate() const {
  if (channels < 1 || copies < 1 || channels > limits::kLargestSize || copies > limits::kMostCopies) {
    return Status::error("channels or copies are not positive or too large");
  }
  const uint64_t size = static_cast<uint64_t>(channels) * static_cast<uint64_t>(copies);
  if (threshold.size() != size || negated.size() != size) return Status::error("thresholds or directions are not one a channel and copy");
  return Status();
}

void ThresholdQuantize::run(const float* input, int64_t rows, int32_t* output, ThreadPool& pool) const {
  constexpr int64_t kBlockBytes = 1 << 14;  // so many bytes of rows stay in the cache while they are compared with one copy after another
  const auto below = best_stages(cpu_features()).code->float_below;
  const int64_t copy_bytes = (int64_t{channels} + 7) / 8, bytes = copies * copy_bytes, stride = (bytes + 3) / 4 * 4;
  std::vector<uint8_t> negated_bits(static_cast<size_t>(bytes));
  for (size_t k = 0; k < static_cast<size_t>(copies); ++k) {
    for (size_t c = 0; c < static_cast<size_t>(channels); ++c) {
      uint8_t& byte = negated_bits[k * static_cast<size_t>(copy_bytes) + c / 8];
      byte = static_cast<uint8_t>(byte | (negated[k * static_cast<size_t>(channels) + c] != 0 ? 1 : 0) << (c % 8));
    }
  }
  const int64_t block = std::max<int64_t>(1, kBlockBytes / (int64_t{channels} * 4));
  uint8_t* out = reinterpret_cast<uint8_t*>(output);
  over_rows(rows, int64_t{channels} * copies, pool, [&](int64_t first, int64_t last) {
    for (int64_t row = first; row < last; row += block) {
      const int64_t count = std::min(block, last - row);
      FloatRows block_rows;
      block_rows.first = input + row * channels;
      block_rows.stride = block_rows.n = channels;
      block_rows.rows = count;
      for (int64_t k = 0; k < copies; ++k) {
        below(block_rows, threshold.data() + k * channels, negated_bits.data() + k * copy_bytes, out + row * stride + k * copy_bytes,
              stride);
      }
      for (int64_t i = 0; i < count; ++i) std::memset(out + (row + i) * stride + bytes, 0, static_cast<size_t>(stride - bytes));
    }
  });
}

void bit_max_pool(const PoolShape& shape, int32_t words, const int32_t* input, int32_t* output, ThreadPool& pool) {
  const Window& w = shape.window;
  over_rows(int64_t{shape.batch} * shape.output_height, int64_t{shape.output_width} * words * 32, pool, [&](int64_t first, int64_t last) {
    for (int64_t row = first; row < last; ++row) {
      const int64_t top = row % shape.output_height * w.stride_height - w.pad_top;
      const int32_t* image = input + row / shape.output_height * shape.input_height * shape.input_width * words;
      const int64_t y0 = std::max<int64_t>(0, top), y1 = std::min<int64_t>(shape.input_height, top + w.height);
      for (int64_t column = 0; column < shape.output_width; ++column) {
        const int64_t left = column * w.stride_width - w.pad_left;
        const int64_t x0 = std::max<int64_t>(0, left), x1 = std::min<int64_t>(shape.input_width, left + w.width);
        int32_t* out = output + (row * shape.output_width + column) * words;
        std::fill(out, out + words, -1);
        for (int64_t y = y0; y < y1; ++y) {
          for (int64_t x = x0; x < x1; ++x) {
            const int32_t* in = image + (y * shape.input_width + x) * words;
            for (int32_t i = 0; i < words; ++i) out[i] &= in[i];
          }
        }
      }
    }
  });
}

}  // namespace bduo
