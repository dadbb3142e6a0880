// Checks all stages of the list against their contract (kernels/stages.h) by plain loops, over lengths around a register, and special
// floats.
#include "kernels/stages.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "check.h"
#include "kernels/cpu.h"
#include "kernels/dispatch.h"

namespace bduo::test {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity(), kTiny = std::numeric_limits<float>::denorm_min();
const float kSpecial[] = {0.0f,
                          -0.0f,
                          0.5f,
                          -0.5f,
                          1.5f,
                          126.5f,
                          127.49f,
                          127.5f,
                          -127.5f,
                          -128.5f,
                          128.5f,
                          -129.0f,
                          0.49999997f,
                          -0.49999997f,
                          1e30f,
                          -1e30f,
                          kInfinity,
                          -kInfinity,
                          std::numeric_limits<float>::quiet_NaN(),
                          kTiny,
                          -kTiny};

bool bit_at(const std::vector<uint8_t>& bits, size_t i) { return (bits[i / 8] >> i % 8 & 1) != 0; }

template <class Predicate>
std::vector<uint8_t> packed(size_t n, Predicate predicate) {
  std::vector<uint8_t> bits((n + 7) / 8);
  for (size_t i = 0; i < n; ++i) bits[i / 8] = static_cast<uint8_t>(bits[i / 8] | (predicate(i) ? 1 : 0) << i % 8);
  return bits;
}

float scaled(int32_t x, size_t channel, const Scaling& s) {
  const int64_t shifted = int64_t{x} << s.shift;
  const float dot = static_cast<float>(std::max<int64_t>(std::min<int64_t>(shifted, s.clamp_max), s.clamp_min));
  volatile float product = dot * s.multiplier[channel];
  return product + s.bias[channel];
}

int8_t rounded(float y) {
  if (std::isnan(y)) return 127;
  return static_cast<int8_t>(std::min(std::max(std::round(static_cast<double>(y)), -128.0), 127.0));
}

bool same(float a, float b) { return a == b || (std::isnan(a) && std::isnan(b)); }

// Numbers for n channels. Vectors have exactly n elements unless a contract lets more be read.
struct Numbers {
  std::vector<int32_t> x, other, threshold;
  std::vector<float> multiplier, bias, residual, floats, bounds;
  std::vector<int8_t> int8;
  std::vector<uint8_t> flags, loose_flags;  // the latter have bits beyond n

  Numbers(size_t n, Random& random) : x((n + 7) / 8 * 8), other(x.size()), threshold(x.size(), INT32_MAX) {
    const auto special = [&] { return kSpecial[random.next() % std::size(kSpecial)]; };
    for (size_t i = 0; i < n; ++i) {
      x[i] = random.between(0, 600), other[i] = random.between(0, 600), threshold[i] = random.between(200, 400);
      multiplier.push_back(random.coin() ? random.real() : 0.0f);
      bias.push_back(random.coin() ? special() : random.real() * 50);
      residual.push_back(random.real());
      floats.push_back(random.coin() ? special() : random.real());
      bounds.push_back(random.coin() ? floats[i] : special());
      int8.push_back(static_cast<int8_t>(random.next()));
    }
    for (size_t i = 0; i < (n + 7) / 8; ++i) loose_flags.push_back(static_cast<uint8_t>(random.next()));
    flags = loose_flags;
    if (n % 8 != 0) flags.back() = static_cast<uint8_t>(flags.back() & ((1 << n % 8) - 1));
  }
};

void check_scaling(const Stages& stages, const Numbers& numbers, const std::string& where, Checks& checks) {
  const size_t size = numbers.multiplier.size();
  const int64_t n = static_cast<int64_t>(size);
  for (int shift : {0, 1}) {
    Scaling scaling;
    scaling.shift = shift;
    scaling.clamp_min = 100, scaling.clamp_max = 700;
    scaling.multiplier = numbers.multiplier.data(), scaling.bias = numbers.bias.data();
    std::vector<float> plain(size), added(size);
    std::vector<int8_t> bytes(size);
    const std::vector<int32_t> x(numbers.x.begin(), numbers.x.begin() + n);
    stages.scale(x.data(), n, scaling, nullptr, plain.data());
    stages.scale(x.data(), n, scaling, numbers.residual.data(), added.data());
    stages.scale_int8(x.data(), n, scaling, bytes.data());
    bool plain_equal = true, added_equal = true, bytes_equal = true;
    for (size_t i = 0; i < size; ++i) {
      const float y = scaled(x[i], i, scaling);
      plain_equal = plain_equal && same(plain[i], y);
      added_equal = added_equal && same(added[i], y + numbers.residual[i]);
      bytes_equal = bytes_equal && bytes[i] == rounded(y);
    }
    checks.that(plain_equal, where + " scale");
    checks.that(added_equal, where + " scale with residual");
    checks.that(bytes_equal, where + " scale_int8");
  }
}

void check_minimum(const Stages& stages, const Numbers& numbers, const std::string& where, Checks& checks) {
  const int64_t n = static_cast<int64_t>(numbers.multiplier.size());
  const int32_t* rows[] = {numbers.x.data(), numbers.other.data(), numbers.threshold.data()};
  for (int64_t count : {1, 2, 3}) {
    std::vector<int32_t> out(numbers.x.size(), -1);
    stages.minimum(rows, count, n, out.data());
    bool equal = true;
    for (size_t i = 0; i < static_cast<size_t>(n); ++i) {
      int32_t least = rows[0][i];
      for (int64_t row = 1; row < count; ++row) least = std::min(least, rows[row][i]);
      equal = equal && out[i] == least;
    }
    checks.that(equal, where + " minimum of " + std::to_string(count));
  }
}

void check_bits(const Stages& stages, const Numbers& numbers, const std::string& where, Checks& checks) {
  const size_t size = numbers.multiplier.size(), bytes = (size + 7) / 8;
  const int64_t n = static_cast<int64_t>(size);
  const auto written = [&](auto call) {
    std::vector<uint8_t> bits(bytes, 0xff);
    call(bits.data());
    return bits;
  };
  checks.that(written([&](uint8_t* bits) { stages.compare(numbers.x.data(), n, numbers.threshold.data(), numbers.flags.data(), bits); }) ==
                  packed(size, [&](size_t i) { return (numbers.x[i] > numbers.threshold[i]) != bit_at(numbers.flags, i); }),
              where + " compare");
  checks.that(written([&](uint8_t* bits) { stages.float_signs(numbers.floats.data(), n, bits); }) ==
                  packed(size, [&](size_t i) { return numbers.floats[i] < 0.0f; }),
              where + " float_signs");
  for (int zero : {-127, -1, 0, 1, 127}) {
    checks.that(written([&](uint8_t* bits) { stages.int8_signs(numbers.int8.data(), n, static_cast<int8_t>(zero), bits); }) ==
                    packed(size, [&](size_t i) { return numbers.int8[i] < zero; }),
                where + " int8_signs");
  }

  // There are two rows, with gaps between them in numbers and in bits. The latter must stay as it is.
  std::vector<float> two_rows(numbers.floats);
  two_rows.insert(two_rows.end(), 3, -1.0f);
  two_rows.insert(two_rows.end(), numbers.floats.rbegin(), numbers.floats.rend());
  std::vector<uint8_t> wanted, bits(2 * bytes + 3, 0xff);
  for (size_t row : {0, 1}) {
    const std::vector<uint8_t> row_bits = packed(size, [&](size_t i) {
      const float x = two_rows[row * (size + 3) + i];
      return bit_at(numbers.flags, i) ? x > numbers.bounds[i] : x < numbers.bounds[i];
    });
    wanted.insert(wanted.end(), row_bits.begin(), row_bits.end());
    if (row == 0) wanted.insert(wanted.end(), 3, 0xff);
  }
  FloatRows x;
  x.first = two_rows.data();
  x.stride = n + 3;
  x.rows = 2;
  x.n = n;
  stages.float_below(x, numbers.bounds.data(), numbers.loose_flags.data(), bits.data(), static_cast<int64_t>(bytes) + 3);
  checks.that(bits == wanted, where + " float_below");
}

int main_of_test() {
  Checks checks;
  checks.that(cpu_status().ok(), cpu_status().text());
  Random random(7);
  for (const Kernel<Stages>& row : stage_sets()) {
    if (!has(cpu_features(), row.needs)) {
      std::printf("SKIPPED %s: not on this machine\n", row.name);
      continue;
    }
    for (size_t n = 1; n <= 200; ++n) {
      const std::string where = std::string(row.name) + " n " + std::to_string(n);
      const Numbers numbers(n, random);
      check_scaling(*row.code, numbers, where, checks);
      check_minimum(*row.code, numbers, where, checks);
      check_bits(*row.code, numbers, where, checks);
    }
  }
  return checks.finish("stages_test");
}

}  // namespace
}  // namespace bduo::test

int main() { return bduo::test::main_of_test(); }
