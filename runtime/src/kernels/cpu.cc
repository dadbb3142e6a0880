// CPU features, asked of the processor itself: __builtin_cpu_supports needs a compiler's runtime library, and zig's says no to everything.
#include "kernels/cpu.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <iterator>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace bduo {
namespace {

// Those of this architecture, least first, and the best that this machine has.
#if defined(__x86_64__)

constexpr Isa kIsas[] = {Isa::kPortable, Isa::kPopcnt, Isa::kAvx2, Isa::kAvx512};

// Which registers the operating system saves, as bits.
constexpr unsigned kAvxState = 0x06, kAvx512State = 0xe6;
unsigned saved_state(unsigned features) {
  if (!(features & bit_OSXSAVE)) return 0;
  unsigned low = 0, high = 0;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return low;
}

bool all(unsigned bits, unsigned wanted) { return (bits & wanted) == wanted; }

Isa machine_isa() {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx) || !(ecx & bit_POPCNT)) return Isa::kPortable;
  const unsigned state = saved_state(ecx);
  if (!all(state, kAvxState) || !__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) || !(ebx & bit_AVX2)) return Isa::kPopcnt;
  if (!all(state, kAvx512State) || !all(ebx, bit_AVX512F | bit_AVX512BW | bit_AVX512VL)) return Isa::kAvx2;
  return ecx & bit_AVX512VPOPCNTDQ ? Isa::kAvx512 : Isa::kAvx2;
}

#elif defined(__aarch64__)

constexpr Isa kIsas[] = {Isa::kPortable, Isa::kNeon};

Isa machine_isa() { return Isa::kNeon; }  // part of the architecture

#else

constexpr Isa kIsas[] = {Isa::kPortable};

Isa machine_isa() { return Isa::kPortable; }

#endif

constexpr Isa kAll[] = {Isa::kPortable, Isa::kPopcnt, Isa::kAvx2, Isa::kAvx512, Isa::kNeon};

struct Choice {
  Isa isa;
  std::string error;
};

Choice choose() {
  const Isa best = machine_isa();
  const char* wish = std::getenv("BDUO_RUNTIME_ISA");
  if (wish == nullptr || *wish == '\0') return {best, ""};
  std::string available;
  for (Isa isa : kIsas) {
    if (isa > best) break;
    if (std::strcmp(wish, isa_name(isa)) == 0) return {isa, ""};
    available += (available.empty() ? "" : ", ") + std::string(isa_name(isa));
  }
  const bool known = std::any_of(std::begin(kAll), std::end(kAll), [&](Isa isa) { return std::strcmp(wish, isa_name(isa)) == 0; });
  return {best, std::string("BDUO_RUNTIME_ISA: ") + (known ? "this machine or build lacks " : "there is no instruction set ") + wish +
                    "; it can be " + available};
}

const Choice& choice() {
  static const Choice made = choose();
  return made;
}

}  // namespace

const char* isa_name(Isa isa) {
  switch (isa) {
    case Isa::kNeon:
      return "neon";
    case Isa::kAvx512:
      return "avx512";
    case Isa::kAvx2:
      return "avx2";
    case Isa::kPopcnt:
      return "popcnt";
    case Isa::kPortable:
      break;
  }
  return "portable";
}

Isa cpu_isa() { return choice().isa; }

const std::string& cpu_isa_error() { return choice().error; }

}  // namespace bduo
