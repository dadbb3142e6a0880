// Features are asked of the processor itself: __builtin_cpu_supports needs a compiler's runtime library, and zig's says no to everything.
#include "kernels/cpu.h"

#include <cstdlib>
#include <string>

#include "kernels/by_name.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace bduo {
namespace {

class Found {
 public:
  // Features are added in the order of the list. One does not count where something that it builds on was not found: then more than its
  // own bit is missing.
  void add(Features feature, bool there) {
    const Features missing = feature & ~features_;
    if (there && (missing & (missing - 1)) == 0) features_ |= feature;
  }
  Features features() const { return features_; }

 private:
  Features features_ = 0;
};

#if defined(__x86_64__)

struct Registers {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
};

// Zeros, and so no features, where the processor does not know the leaf.
Registers cpuid(unsigned leaf) {
  Registers r;
  if (!__get_cpuid_count(leaf, 0, &r.eax, &r.ebx, &r.ecx, &r.edx)) return {};
  return r;
}

// The operating system must save a feature's registers; these bits say which it saves.
constexpr unsigned kAvxState = 0x06, kAvx512State = 0xe6;
unsigned saved_state(unsigned features) {
  if (!(features & bit_OSXSAVE)) return 0;
  unsigned low = 0, high = 0;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return low;
}

bool all(unsigned bits, unsigned wanted) { return (bits & wanted) == wanted; }

void add_features(Found& found) {
  const Registers basic = cpuid(1), extended = cpuid(7);
  const unsigned state = saved_state(basic.ecx);
  found.add(kPopcnt, all(basic.ecx, bit_POPCNT));
  found.add(kAvx2, all(state, kAvxState) && all(extended.ebx, bit_AVX2));
  found.add(kAvx512, all(state, kAvx512State) && all(extended.ebx, bit_AVX512F | bit_AVX512BW | bit_AVX512VL) &&
                         all(extended.ecx, bit_AVX512VPOPCNTDQ));
}

#elif defined(__aarch64__)

void add_features(Found& found) { found.add(kNeon, true); }  // it is a part of the architecture

#else

void add_features(Found&) {}

#endif

Features machine_features() {
  Found found;
  found.add(kPortable, true);
  add_features(found);
  return found.features();
}

struct InstructionSet {
  const char* name;
  Features needs;
};

// Every feature names the instruction set that it and all that it builds on make up; those of other processors are known too.
constexpr InstructionSet kInstructionSets[] = {
#define BDUO_FEATURE(constant, name, builds_on, flags) {name, constant},
#include "kernels/list.inc"
};

struct Choice {
  Features features;
  Status status;
};

Choice choose() {
  const Features machine = machine_features();
  const char* wish = std::getenv("BDUO_RUNTIME_ISA");
  if (wish == nullptr || *wish == '\0') return {machine, Status()};
  const auto found = by_name<InstructionSet>(kInstructionSets, wish, machine);
  if (found.row != nullptr) return {found.row->needs, Status()};
  return {machine, Status::error(std::string("BDUO_RUNTIME_ISA: ") +
                                 (found.known ? "this machine or build lacks " : "there is no instruction set ") + wish + "; it can be " +
                                 found.available)};
}

const Choice& choice() {
  static const Choice made = choose();
  return made;
}

}  // namespace

Features cpu_features() { return choice().features; }

const Status& cpu_status() { return choice().status; }

}  // namespace bduo
