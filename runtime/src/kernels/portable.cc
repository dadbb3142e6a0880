// The bit GEMM in plain C++ for any machine.
#include "kernels/scalar.h"

namespace bduo::kernels {
namespace {

// Counts bits by sums of neighbouring bits, then pairs, then nibbles, then of all bytes by one multiplication.
struct Swar {
  int operator()(uint64_t x) const {
    x -= (x >> 1) & 0x5555555555555555u;
    x = (x & 0x3333333333333333u) + ((x >> 2) & 0x3333333333333333u);
    x = (x + (x >> 4)) & 0x0f0f0f0f0f0f0f0fu;
    return static_cast<int>((x * 0x0101010101010101u) >> 56);
  }
};

}  // namespace

constexpr BitGemm portable = scalar_bit_gemm<Swar>();

}  // namespace bduo::kernels
