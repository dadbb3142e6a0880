// What instruction sets this machine and its operating system allow, and the user's wish to use less.
#pragma once

#include <string>

namespace bduo {

// Of one architecture, each includes those before it.
enum class Isa { kPortable, kPopcnt, kAvx2, kAvx512, kNeon };

const char* isa_name(Isa isa);  // "portable", "popcnt", "avx2", "avx512" (with VPOPCNTDQ), "neon"

// The best of the machine, or what the environment variable BDUO_RUNTIME_ISA names. Computed once.
Isa cpu_isa();

// One line if BDUO_RUNTIME_ISA names what is no instruction set, or one that this machine or build lacks; else empty. Nothing should run
// then: what was asked for is never replaced silently.
const std::string& cpu_isa_error();

}  // namespace bduo
