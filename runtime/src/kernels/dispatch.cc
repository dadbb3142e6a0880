// The list's rows for the processor that this build is for, and the choice among them.
#include "kernels/dispatch.h"

#include <iterator>
#include <string>

#include "kernels/by_name.h"

// A row of another processor vanishes: its file is not in this build.
#define BDUO_ON_any(...) __VA_ARGS__
#if defined(__x86_64__)
#define BDUO_ON_x86_64(...) __VA_ARGS__
#else
#define BDUO_ON_x86_64(...)
#endif
#if defined(__aarch64__)
#define BDUO_ON_aarch64(...) __VA_ARGS__
#else
#define BDUO_ON_aarch64(...)
#endif
#define BDUO_ROW(processor, ...) BDUO_ON_##processor({__VA_ARGS__}, )

namespace bduo {
namespace {

constexpr Kernel<BitGemm> kBitGemms[] = {
#define BDUO_BIT_GEMM(processor, name, needs, file) BDUO_ROW(processor, #name, needs, &kernels::name)
#include "kernels/list.inc"
};

constexpr Kernel<Stages> kStages[] = {
#define BDUO_STAGES(processor, name, needs, file) BDUO_ROW(processor, #name, needs, &kernels::name)
#include "kernels/list.inc"
};

static_assert(std::rbegin(kBitGemms)->needs == kPortable && std::rbegin(kStages)->needs == kPortable, "the last of each runs everywhere");

}  // namespace

KernelList<BitGemm> bit_gemms() { return KernelList<BitGemm>(kBitGemms); }

KernelList<Stages> stage_sets() { return KernelList<Stages>(kStages); }

const Kernel<BitGemm>& best_bit_gemm(Features there, int64_t row_patches) {
  const Kernel<BitGemm>* kernel = kBitGemms;
  while (!has(there, kernel->needs) || kernel->code->patches > row_patches) ++kernel;  // the last row runs everything everywhere
  return *kernel;
}

const Kernel<Stages>& best_stages(Features there) {
  const Kernel<Stages>* stages = kStages;
  while (!has(there, stages->needs)) ++stages;
  return *stages;
}

Status find_bit_gemm(const char* name, Features there, const Kernel<BitGemm>** kernel) {
  const auto found = by_name<Kernel<BitGemm>>(kBitGemms, name, there);
  if (found.row == nullptr) {
    return Status::error((found.known ? "this machine cannot run the kernel " : "there is no kernel ") + std::string(name) +
                         "; it can be " + found.available);
  }
  *kernel = found.row;
  return Status();
}

}  // namespace bduo
