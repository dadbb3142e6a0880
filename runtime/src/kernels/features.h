// Sets of processor features, as bits. Sets are compared, never ordered: of two features neither need include the other.
#pragma once

#include <cstdint>

namespace bduo {

using Features = uint32_t;

namespace feature_index {
enum {
#define BDUO_FEATURE(constant, name, builds_on, flags) constant,
#include "kernels/list.inc"
};
}  // namespace feature_index

// kPortable, kPopcnt and so on: each is the feature's own bit and those of all that it builds on.
#define BDUO_FEATURE(constant, name, builds_on, flags) constexpr Features constant = Features{1} << feature_index::constant | (builds_on);
#include "kernels/list.inc"

constexpr bool has(Features there, Features needed) { return (needed & ~there) == 0; }

}  // namespace bduo
