// CPU features, asked of the processor itself: __builtin_cpu_supports needs a compiler's runtime library, and zig's says no to everything.
#include "kernels/cpu.h"

#include <cstdlib>
#include <cstring>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace bduo {
namespace {

// Those of this architecture, least first, and the best that this machine has.
#if defined(__x86_64__)

constexpr Isa kIsas[] = {Isa::kPortable, Isa::kPopcnt, Isa::kAvx2};

// Whether the operating system saves the AVX registers.
bool saves_avx(unsigned features) {
  if (!(features & bit_OSXSAVE)) return false;
  unsigned low = 0, high = 0;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (low & 6) == 6;
}

Isa machine_isa() {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx) || !(ecx & bit_POPCNT)) return Isa::kPortable;
  if (!saves_avx(ecx) || !__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) || !(ebx & bit_AVX2)) return Isa::kPopcnt;
  return Isa::kAvx2;
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
