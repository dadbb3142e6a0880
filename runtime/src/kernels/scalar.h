// The bit GEMM over 64-bit words, once for every way to count bits. Every file that includes it has its own copy (see packing.h).
#pragma once

#include "kernels/packing.h"

namespace bduo::kernels {
namespace {

template <class Word>
inline Word load(const uint8_t* p) {
  Word word;
  std::memcpy(&word, p, sizeof(word));
  return word;
}

// Popcount has `int operator()(uint64_t)`. Two words of K are counted together.
template <class Popcount>
void scalar_gemm(const GemmCall& call) {
  constexpr int kLanes = 8;  // so many sums stay in registers
  const Popcount popcount;
  for (int64_t p = 0; p < call.patch_count; ++p) {
    for (int32_t r = 0; r < call.blocks; ++r) {
      const int32_t outputs = r + 1 == call.blocks ? call.last_outputs : kBlock;
      for (int32_t first = 0; first < outputs; first += kLanes) {
        const uint8_t* w = call.weights + r * call.block_stride + first * 4;
        int32_t* sums = call.sums + p * call.sum_stride + r * kBlock + first;
        int32_t sum[kLanes] = {};
        for (int64_t i = 0; i < call.run_count; ++i) {
          const uint8_t* a = call.patches[p] + call.patch_offset + call.runs[i].offset;
          int32_t left = call.runs[i].bytes;
          for (; left >= 8; left -= 8, a += 8, w += 2 * 4 * kBlock) {
            const uint64_t lo = load<uint32_t>(a), hi = load<uint32_t>(a + 4);
            for (int lane = 0; lane < kLanes; ++lane) {
              const uint64_t wlo = load<uint32_t>(w + lane * 4), whi = load<uint32_t>(w + 4 * kBlock + lane * 4);
              sum[lane] += popcount((lo ^ wlo) | (hi ^ whi) << 32);
            }
          }
          if (left > 0) {
            const uint64_t lo = load<uint32_t>(a);
            for (int lane = 0; lane < kLanes; ++lane) sum[lane] += popcount(lo ^ load<uint32_t>(w + lane * 4));
            w += 4 * kBlock;
          }
        }
        for (int lane = 0; lane < kLanes; ++lane) sums[lane] = call.accumulate ? sums[lane] + sum[lane] : sum[lane];
      }
    }
  }
}

template <class Popcount>
constexpr BitGemm scalar_bit_gemm() {
  BitGemm kernel;
  kernel.align = 4;
  kernel.expand = copy;
  kernel.pack = pack_words;
  kernel.gemm = scalar_gemm<Popcount>;
  return kernel;
}

}  // namespace
}  // namespace bduo::kernels
