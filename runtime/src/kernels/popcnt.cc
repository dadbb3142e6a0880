// The bit GEMM with x86's popcnt instruction. Compiled with -mpopcnt: nothing here may run without it.
#include <climits>

#include "kernels/scalar.h"

namespace bduo::kernels {
namespace {

struct Popcnt {
  int operator()(uint64_t x) const { return static_cast<int>(__builtin_popcountll(x)); }
};

}  // namespace

const BitGemm popcnt = {"popcnt", Isa::kPopcnt, 1, 4, 1, INT_MAX, scalar::expand, scalar::pack, scalar::gemm<Popcnt>};

}  // namespace bduo::kernels
