// Which features this machine and its operating system have, and the user's wish to use fewer.
#pragma once

#include "kernels/features.h"
#include "status.h"

namespace bduo {

// All that the machine has, or of them those of the instruction set that the environment variable BDUO_RUNTIME_ISA names. Found once.
Features cpu_features();

// An error if BDUO_RUNTIME_ISA names what is no instruction set, or one that this machine or build lacks. Nothing should run then: what
// was asked for is never replaced silently.
const Status& cpu_status();

}  // namespace bduo
