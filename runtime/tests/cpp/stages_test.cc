// The stages of every instruction set against those in plain C++, over every length around a register, and special floats.
#include <cmath>
#include <limits>
#include <vector>

#include "check.h"
#include "kernels/kernels.h"

namespace bduo::test {
namespace {

int main_of_test() {
  Checks checks;
  checks.that(cpu_isa_error().empty(), cpu_isa_error());
  Random random(7);
  const Stages& plain = kernels::portable_stages;
  const float special[] = {0.0f, -0.0f, 0.5f, -0.5f, 1.5f, 126.5f, 127.49f, 127.5f, -127.5f, -128.5f, 0.49999997f, -0.49999997f, 1e30f, -1e30f,
                           std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity(),
                           std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::denorm_min(), -std::numeric_limits<float>::denorm_min()};
  int count;
  const Stages* const* sets = stage_sets(&count);
  for (int set = 0; set < count; ++set) {
    const Stages& tried = *sets[set];
    if (tried.isa > cpu_isa()) {
      std::printf("SKIPPED %s: not on this machine\n", isa_name(tried.isa));
      continue;
    }
    for (int64_t n = 1; n <= 200; ++n) {
      const std::string where = std::string(isa_name(tried.isa)) + " n " + std::to_string(n);
      const size_t size = static_cast<size_t>(n), padded = (size + 7) / 8 * 8, bytes = (size + 7) / 8;
      std::vector<int32_t> x(padded), other(padded), threshold(padded, INT32_MAX);
      std::vector<float> multiplier(size), bias(size), residual(size), floats(size), bounds(size);
      std::vector<int8_t> int8(size);
      std::vector<uint8_t> flags(bytes);
      for (size_t i = 0; i < size; ++i) {
        x[i] = random.between(0, 600), other[i] = random.between(0, 600), threshold[i] = random.between(200, 400);
        multiplier[i] = random.coin() ? random.real() : 0.0f;
        bias[i] = random.coin() ? special[random.next() % std::size(special)] : random.real() * 50;
        residual[i] = random.real();
        floats[i] = random.coin() ? special[random.next() % std::size(special)] : random.real();
        bounds[i] = random.coin() ? floats[i] : special[random.next() % std::size(special)];
        int8[i] = static_cast<int8_t>(random.next());
      }
      for (uint8_t& flag : flags) flag = static_cast<uint8_t>(random.next());
      if (n % 8 != 0) flags.back() = static_cast<uint8_t>(flags.back() & ((1 << n % 8) - 1));

      const auto same = [](float a, float b) { return a == b || (std::isnan(a) && std::isnan(b)); };
      for (int shift : {0, 1}) {
        std::vector<float> a(size), b(size);
        for (const float* r : {static_cast<const float*>(nullptr), static_cast<const float*>(residual.data())}) {
          plain.scale(x.data(), n, shift, 100, 700, multiplier.data(), bias.data(), r, a.data());
          tried.scale(x.data(), n, shift, 100, 700, multiplier.data(), bias.data(), r, b.data());
          bool equal = true;
          for (size_t i = 0; i < size; ++i) equal = equal && same(a[i], b[i]);
          checks.that(equal, where + " scale");
        }
        std::vector<int8_t> c(size), d(size);
        plain.scale_int8(x.data(), n, shift, 100, 700, multiplier.data(), bias.data(), c.data());
        tried.scale_int8(x.data(), n, shift, 100, 700, multiplier.data(), bias.data(), d.data());
        checks.that(c == d, where + " scale_int8");
      }
      const int32_t* rows[] = {x.data(), other.data(), threshold.data()};
      std::vector<int32_t> least_a(padded), least_b(padded);
      plain.minimum(rows, 3, n, least_a.data());
      tried.minimum(rows, 3, n, least_b.data());
      checks.that(std::equal(least_a.begin(), least_a.begin() + n, least_b.begin()), where + " minimum");

      const auto bits_equal = [&](const char* what, auto call) {
        std::vector<uint8_t> a(bytes, 0xff), b(bytes, 0xff);
        call(plain, a.data());
        call(tried, b.data());
        checks.that(a == b && (n % 8 == 0 || b.back() >> n % 8 == 0), where + what);
      };
      bits_equal(" compare", [&](const Stages& s, uint8_t* bits) { s.compare(x.data(), n, threshold.data(), flags.data(), bits); });
      bits_equal(" float_signs", [&](const Stages& s, uint8_t* bits) { s.float_signs(floats.data(), n, bits); });
      bits_equal(" float_below", [&](const Stages& s, uint8_t* bits) {
        s.float_below(floats.data(), n, 1, n, bounds.data(), flags.data(), bits, 0);
      });
      std::vector<float> two_rows(floats);
      two_rows.insert(two_rows.end(), floats.rbegin(), floats.rend());
      std::vector<uint8_t> two_a(2 * bytes + 3, 0xff), two_b(two_a);
      plain.float_below(two_rows.data(), static_cast<int64_t>(floats.size()), 2, n, bounds.data(), flags.data(), two_a.data(), static_cast<int64_t>(bytes) + 3);
      tried.float_below(two_rows.data(), static_cast<int64_t>(floats.size()), 2, n, bounds.data(), flags.data(), two_b.data(), static_cast<int64_t>(bytes) + 3);
      checks.that(two_a == two_b, where + " float_below of two rows");
      for (int zero : {-127, -1, 0, 1, 127}) {
        bits_equal(" int8_signs", [&](const Stages& s, uint8_t* bits) { s.int8_signs(int8.data(), n, static_cast<int8_t>(zero), bits); });
      }
    }
  }
  return checks.finish("stages_test");
}

}  // namespace
}  // namespace bduo::test

int main() { return bduo::test::main_of_test(); }
