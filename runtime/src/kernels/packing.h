// Ways to lay out activations and weights that kernels of several instruction sets share.
//
// Everything here, and in every header with code for kernels, is in an anonymous namespace: each file has its own copy, compiled for its
// instruction set. Of copies under one name the linker would keep any one, and machines without that instruction set would run it.
#pragma once

#include <cstring>

#include "kernels/bit_gemm.h"

namespace bduo::kernels {
namespace {

// For kernels that read activations as they are.
inline void copy(const uint8_t* bits, int64_t count, int64_t, uint8_t* out) { std::memcpy(out, bits, static_cast<size_t>(count)); }

// Words of 4 bytes of K, the block's outputs of each word side by side.
inline void pack_words(const uint8_t* rows, int64_t k_bytes, int32_t, uint8_t* out) {
  for (int64_t k = 0; k < k_bytes; k += 4) {
    for (int32_t lane = 0; lane < kBlock; ++lane, out += 4) std::memcpy(out, rows + lane * k_bytes + k, 4);
  }
}

// Byte k of the block's outputs side by side.
inline void pack_bytes(const uint8_t* rows, int64_t k_bytes, int32_t, uint8_t* out) {
  for (int32_t lane = 0; lane < kBlock; ++lane) {
    for (int64_t k = 0; k < k_bytes; ++k) out[k * kBlock + lane] = rows[lane * k_bytes + k];
  }
}

}  // namespace
}  // namespace bduo::kernels
