// Checks, when a delegate is applied, that the host lays its structures out as tflite.h declares them.
#pragma once

#include "abi/tflite.h"
#include "status.h"

namespace bduo {

// Looks at every function, tensor and node that a delegate may use, and fails if something contradicts the expected
// ABI. What it accepts may be relied on later: indices of tensors are in range, and the arrays of nodes are there.
Status check_host(TfLiteContext* context);

}  // namespace bduo
