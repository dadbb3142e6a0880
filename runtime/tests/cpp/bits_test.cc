// Checks quantizing, dequantizing, thresholds and the max pool of bits against the plainest loops.
#include "conv/bits.h"

#include <cmath>
#include <limits>
#include <vector>

#include "reference.h"

namespace bduo::test {
namespace {

// An output's old contents: ones, which must all go.
std::vector<int32_t> ones(int64_t words) { return std::vector<int32_t>(static_cast<size_t>(words), -1); }

void check_numbers(int64_t rows, int32_t channels, Random& random, ThreadPool& pool, Checks& checks) {
  const std::string where = std::to_string(rows) + " rows of " + std::to_string(channels);
  const ChannelLayout layout = ChannelLayout::packed(channels);
  const size_t size = static_cast<size_t>(rows * channels);
  const std::vector<int8_t> signs = random_signs(rows * channels, random);
  const std::vector<int32_t> expected = to_bits(signs, layout);
  std::vector<float> floats(size);
  std::vector<int8_t> bytes(size);
  std::vector<uint8_t> bools(size);
  const int32_t zero_point = random.between(-120, 120);
  for (size_t i = 0; i < size; ++i) {
    const float nan = std::numeric_limits<float>::quiet_NaN(), tiny = std::numeric_limits<float>::denorm_min();
    floats[i] = signs[i] < 0 ? random.one_of({-1.0f, -tiny, -1e30f}) : random.one_of({1.0f, 0.0f, -0.0f, tiny, nan});
    bytes[i] = static_cast<int8_t>(signs[i] < 0 ? random.between(-128, zero_point - 1) : random.between(zero_point, 127));
    bools[i] = static_cast<uint8_t>(signs[i] < 0 ? 0 : 1);
  }
  const bool* truths = reinterpret_cast<const bool*>(bools.data());
  std::vector<int32_t> bits = ones(rows * layout.words);
  quantize(floats.data(), rows, channels, bits.data(), pool);
  checks.that(bits == expected, where + " float");
  bits = ones(rows * layout.words);
  quantize(bytes.data(), zero_point, rows, channels, bits.data(), pool);
  checks.that(bits == expected, where + " int8");
  bits = ones(rows * layout.words);
  quantize(truths, rows, channels, bits.data(), pool);
  checks.that(bits == expected, where + " bool");
  for (int32_t beyond : {-129, -128, 128, 1000}) {
    bits = ones(rows * layout.words);
    quantize(bytes.data(), beyond, rows, channels, bits.data(), pool);
    checks.that(bits == to_bits(std::vector<int8_t>(size, beyond > 0 ? -1 : 1), layout), where + " int8 with a zero point beyond int8");
  }

  std::vector<float> back(size);
  dequantize(expected.data(), rows, channels, -1.0f, 1.0f, back.data(), pool);
  checks.that(std::equal(back.begin(), back.end(), signs.begin()), where + " to float");
  std::vector<int8_t> back8(size);
  dequantize(expected.data(), rows, channels, int8_t{-1}, int8_t{1}, back8.data(), pool);
  checks.that(back8 == signs, where + " to int8");
  std::vector<uint8_t> back1(size, 7);
  dequantize(expected.data(), rows, channels, false, true, reinterpret_cast<bool*>(back1.data()), pool);
  checks.that(back1 == bools, where + " to bool");

  ThresholdQuantize compare;
  compare.channels = channels, compare.copies = random.between(1, 3);
  const size_t width = static_cast<size_t>(channels);
  for (size_t i = 0; i < width * static_cast<size_t>(compare.copies); ++i) {
    compare.threshold.push_back(random.one_of({0.0f, 1.0f, -1.0f, random.real()}));
    compare.negated.push_back(random.coin());
  }
  std::vector<int8_t> compared;
  for (size_t row = 0; row < static_cast<size_t>(rows); ++row) {
    for (size_t j = 0; j < compare.threshold.size(); ++j) {
      const float y = floats[row * width + j % width];
      compared.push_back((compare.negated[j] != 0 ? y > compare.threshold[j] : y < compare.threshold[j]) ? -1 : 1);
    }
  }
  const ChannelLayout copied = ChannelLayout::copied(compare.copies, channels);
  bits = ones(rows * copied.words);
  compare.run(floats.data(), rows, bits.data(), pool);
  checks.that(compare.validate().ok() && bits == to_bits(compared, copied), where + " thresholds");
}

void check_pool(Random& random, ThreadPool& pool, Checks& checks) {
  PoolShape s;
  s.batch = random.between(1, 3), s.input_height = random.between(1, 9), s.input_width = random.between(1, 9);
  s.window.height = random.between(1, std::min(4, s.input_height)), s.window.width = random.between(1, std::min(4, s.input_width));
  s.window.stride_height = random.between(1, 3), s.window.stride_width = random.between(1, 3);
  const bool same = random.coin();
  checks.that(slide(s.input_height, s.window.height, s.window.stride_height, 1, same, &s.output_height, &s.window.pad_top).ok() &&
                  slide(s.input_width, s.window.width, s.window.stride_width, 1, same, &s.output_width, &s.window.pad_left).ok(),
              "slide");
  const int32_t channels = random.between(1, 100);
  const ChannelLayout layout = ChannelLayout::packed(channels);
  const std::vector<int8_t> signs = random_signs(int64_t{s.batch} * s.input_height * s.input_width * channels, random);
  const std::vector<int32_t> maxima = max_pooled(s, channels, std::vector<int32_t>(signs.begin(), signs.end()));
  std::vector<int32_t> bits = ones(int64_t{s.batch} * s.output_height * s.output_width * layout.words);
  bit_max_pool(s, layout.words, to_bits(signs, layout).data(), bits.data(), pool);
  checks.that(s.validate().ok() && bits == to_bits(std::vector<int8_t>(maxima.begin(), maxima.end()), layout), "max pool");
}

int main_of_test() {
  Checks checks;
  Random random(3);
  ThreadPool one(1), three(3);
  for (int32_t channels = 1; channels <= 200; ++channels) check_numbers(random.between(1, 5), channels, random, one, checks);
  for (int32_t channels : {1, 31, 32, 33, 64, 257, 600}) check_numbers(40000 / channels + 200, channels, random, three, checks);
  for (int i = 0; i < 500; ++i) check_pool(random, i % 2 == 0 ? one : three, checks);

  int8_t one_value, zero_value;
  checks.that(int8_values(0.5f, 3, &one_value, &zero_value).ok() && one_value == 1 && zero_value == 5, "int8 values");
  checks.that(int8_values(1e-3f, 0, &one_value, &zero_value).ok() && one_value == -128 && zero_value == 127, "int8 values saturate");
  checks.that(int8_values(1e-44f, INT32_MAX, &one_value, &zero_value).ok() && zero_value == 127, "int8 values of a tiny scale");
  for (float bad : {0.0f, -1.0f, std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
    checks.that(!int8_values(bad, 0, &one_value, &zero_value).ok(), "scale refused");
  }
  return checks.finish("bits_test");
}

}  // namespace
}  // namespace bduo::test

int main() { return bduo::test::main_of_test(); }
