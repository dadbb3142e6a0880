// The bit GEMM with x86's popcnt instruction.
#include "kernels/scalar.h"

namespace bduo::kernels {
namespace {

struct Popcnt {
  int operator()(uint64_t x) const { return static_cast<int>(__builtin_popcountll(x)); }
};

}  // namespace

constexpr BitGemm popcnt = scalar_bit_gemm<Popcnt>();

}  // namespace bduo::kernels
