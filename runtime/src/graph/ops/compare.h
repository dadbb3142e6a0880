// The comparison that fusion.cc makes of float operations and an LceQuantize: floats to bits of several copies, in one
// pass.
#pragma once

#include <memory>

#include "graph/operator.h"

namespace bduo {

// nullptr if the comparison cannot be one of floats with thresholds.
std::shared_ptr<const Operator> make_compare(const Comparison& comparison);

}  // namespace bduo
