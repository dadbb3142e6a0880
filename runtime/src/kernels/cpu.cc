// CPU features. GCC's and Clang's __builtin_cpu_supports also asks the operating system whether it saves the AVX registers.
#include "kernels/cpu.h"

#include <cstdlib>
#include <cstring>

namespace bduo {
namespace {

// Those of this architecture, least first, and the best that this machine has.
#if defined(__x86_64__)

constexpr Isa kIsas[] = {Isa::kPortable, Isa::kPopcnt, Isa::kAvx2};

Isa machine_isa() {
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("popcnt")) return Isa::kPortable;
  return __builtin_cpu_supports("avx2") ? Isa::kAvx2 : Isa::kPopcnt;
}

#elif defined(__aarch64__)

constexpr Isa kIsas[] = {Isa::kPortable, Isa::kNeon};

Isa machine_isa() { return Isa::kNeon; }  // part of the architecture

#else

constexpr Isa kIsas[] = {Isa::kPortable};

Isa machine_isa() { return Isa::kPortable; }

#endif

Isa detect() {
  const Isa best = machine_isa();
  const char* wish = std::getenv("BDUO_RUNTIME_ISA");
  if (wish == nullptr) return best;
  for (Isa isa : kIsas) {
    if (std::strcmp(wish, isa_name(isa)) == 0 && isa <= best) return isa;
  }
  return best;
}

}  // namespace

const char* isa_name(Isa isa) {
  switch (isa) {
    case Isa::kNeon:
      return "neon";
    case Isa::kAvx2:
      return "avx2";
    case Isa::kPopcnt:
      return "popcnt";
    case Isa::kPortable:
      break;
  }
  return "portable";
}

Isa cpu_isa() {
  static const Isa isa = detect();
  return isa;
}

}  // namespace bduo
