// The one list of kernels, best first: dispatch, tests and benchmarks go by it. A new instruction set adds its lines here.
#include "kernels/kernels.h"

namespace bduo {
namespace {

const BitGemm* const kBitGemms[] = {
#if defined(__x86_64__)
    &kernels::avx512,
    &kernels::avx2_pairs,
    &kernels::avx2_lut,
    &kernels::popcnt,
#elif defined(__aarch64__)
    &kernels::neon,
#endif
    &kernels::portable,
};

const Stages* const kStages[] = {
#if defined(__x86_64__)
    &kernels::avx2_stages,
#elif defined(__aarch64__)
    &kernels::neon_stages,
#endif
    &kernels::portable_stages,
};

}  // namespace

const BitGemm* const* bit_gemms(int* count) {
  *count = sizeof(kBitGemms) / sizeof(kBitGemms[0]);
  return kBitGemms;
}

const Stages* const* stage_sets(int* count) {
  *count = sizeof(kStages) / sizeof(kStages[0]);
  return kStages;
}

const BitGemm& best_bit_gemm(Isa isa, int64_t row_patches) {
  for (const BitGemm* gemm : kBitGemms) {
    if (gemm->isa <= isa && gemm->patches <= row_patches) return *gemm;
  }
  return kernels::portable;
}

const Stages& best_stages(Isa isa) {
  for (const Stages* stages : kStages) {
    if (stages->isa <= isa) return *stages;
  }
  return kernels::portable_stages;
}

}  // namespace bduo
