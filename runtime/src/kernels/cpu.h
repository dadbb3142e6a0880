// What instruction sets this machine and its operating system allow, and the user's wish to use less.
#pragma once

namespace bduo {

enum class Isa { kPortable, kPopcnt, kAvx2 };  // each includes those before it

const char* isa_name(Isa isa);  // "portable", "popcnt", "avx2"

// The best of the machine, or what the environment variable BDUO_RUNTIME_ISA names if the machine has it (an unknown or
// missing one is ignored). Computed once.
Isa cpu_isa();

}  // namespace bduo
