// Checks, when a delegate is applied, that the host lays its structures out as tflite.h declares them.
#pragma once

#include <string>

#include "abi/tflite.h"

namespace bduo {

// Looks at every function, tensor and node that a delegate may use. Returns an error text, empty if nothing contradicts
// the expected ABI. What it accepts may be relied on later: indices of tensors are in range, arrays are there.
std::string check_host(TfLiteContext* context);

}  // namespace bduo
