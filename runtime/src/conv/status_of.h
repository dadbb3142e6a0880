// Adapts functions that return an error text, empty if all is well, to Status. It goes when no function of conv/ and
// kernels/ does so any more.
#pragma once

#include <string>
#include <utility>

#include "status.h"

namespace bduo {

inline Status status_of(std::string error) { return error.empty() ? Status() : Status::error(std::move(error)); }
inline Status status_of(Status status) { return status; }

}  // namespace bduo
