// What instruction sets this machine and its operating system allow, and the user's wish to use less.
#pragma once

namespace bduo {

// Of one architecture, each includes those before it.
enum class Isa { kPortable, kPopcnt, kAvx2, kAvx512, kNeon };

const char* isa_name(Isa isa);  // "portable", "popcnt", "avx2", "avx512" (with VPOPCNTDQ), "neon"

// The best of the machine, or what the environment variable BDUO_RUNTIME_ISA names if the machine has it (an unknown or
// missing one is ignored). Computed once.
Isa cpu_isa();

}  // namespace bduo
