// The one list of kernels, best first: dispatch, tests and benchmarks go by it. A new instruction set adds its lines here.
#include "kernels/kernels.h"

namespace bduo {
namespace {

const BitGemm* const kBitGemms[] = {
#if defined(__x86_64__)
    &kernels::avx2_lut,
    &kernels::popcnt,
#endif
    &kernels::portable,
};

const Stages* const kStages[] = {
#if defined(__x86_64__)
    &kernels::avx2_stages,
#endif
    &kernels::portable_stages,
};

template <class T, int n>
const T& best(const T* const (&list)[n], Isa isa) {
  for (const T* item : list) {
    if (item->isa <= isa) return *item;
  }
  return *list[n - 1];
}

}  // namespace

const BitGemm* const* bit_gemms(int* count) {
  *count = sizeof(kBitGemms) / sizeof(kBitGemms[0]);
  return kBitGemms;
}

const Stages* const* stage_sets(int* count) {
  *count = sizeof(kStages) / sizeof(kStages[0]);
  return kStages;
}

const BitGemm& best_bit_gemm(Isa isa) { return best(kBitGemms, isa); }
const Stages& best_stages(Isa isa) { return best(kStages, isa); }

}  // namespace bduo
