// The contract of the bit GEMMs, of which every instruction set provides one or more. No shapes and no threads here, and nothing inline:
// files that include this are compiled for an instruction set, and the linker would hand their copy to all (see packing.h).
//
// Bits: 1 means -1, 0 means +1. An accumulator is the number of bits in which activations and weights differ.
#pragma once

#include <climits>
#include <cstdint>

namespace bduo {

// A bit GEMM computes so many outputs (channels) at a time; weights are packed in blocks of them.
inline constexpr int32_t kBlock = 32;

// A stretch of bytes of K that is contiguous in the activations. The runs of a patch, in order, make up all of K.
struct Run {
  int32_t offset;  // from the patch's first byte, in expanded bytes
  int32_t bytes;   // of K, before expansion; a positive multiple of BitGemm::align
  int32_t flush;   // 1 if partial sums must be widened after it (BitGemm::flush_bytes)
};

// So many bytes of K cannot overflow the 16-bit sums that kernels may keep.
inline constexpr int64_t kSpanBytes = 65535 / 8;

// Kernels may read, and where a contract says so write, so many bytes beyond the end of a buffer.
inline constexpr int64_t kSlack = 64;

// Patches times blocks of outputs: sums[p][r * kBlock + lane] (+)= accumulator of patch p and output `lane` of block r.
struct GemmCall {
  const uint8_t* const* patches;  // where every BitGemm::patches-th patch begins in the expanded activations
  int64_t patch_count;            // of these; BitGemm::patches times as many rows of sums are written
  int64_t patch_offset;           // bytes that are added to each of them
  const Run* runs;
  int64_t run_count;       // they have at most kSpanBytes bytes of K together, and the last one flushes
  const uint8_t* weights;  // of the first block, packed, at the first run's place in K
  int64_t block_stride;    // bytes from a block's weights to the next block's
  int32_t blocks;
  int32_t last_outputs;  // outputs of the last block; the others have kBlock
  int32_t* sums;
  int64_t sum_stride;  // int32 from a patch's sums to the next patch's; lanes from round_up(last_outputs, 8) on need not be written
  bool accumulate;     // whether to add to sums instead of overwriting them
};

// What is not set is as the plainest kernel has it. The list (list.inc) gives a kernel its name and says what it needs.
struct BitGemm {
  int32_t patches = 1;            // neighbouring patches of a row of the output that are expanded together, 1 or 2
  int32_t align = 1;              // bytes of a pixel are rounded up to a multiple of this, 1 or 4
  int32_t expansion = 1;          // bytes that a byte of activations takes once expanded
  int32_t flush_bytes = INT_MAX;  // bytes of K after which a run must flush; runs are cut to fit

  // Turns `count` bytes of activations into the count * expansion bytes that the kernel reads. `next` is the distance from a patch's
  // bytes to those of the patch beside it. May read next + kSlack bytes beyond bits + count, and write kSlack beyond the result.
  void (*expand)(const uint8_t* bits, int64_t count, int64_t next, uint8_t* out) = nullptr;
  // Turns the weights of one block of so many outputs, rows of k_bytes bytes for kBlock outputs (missing ones are rows of zeros), into
  // kBlock * k_bytes bytes. The weights at byte k of K start kBlock * k bytes into the result.
  void (*pack)(const uint8_t* rows, int64_t k_bytes, int32_t outputs, uint8_t* out) = nullptr;
  // May read kSlack bytes beyond a run of expanded activations.
  void (*gemm)(const GemmCall& call) = nullptr;
};

namespace kernels {
#define BDUO_BIT_GEMM(processor, name, needs, file) extern const BitGemm name;
#include "kernels/list.inc"
}  // namespace kernels

}  // namespace bduo
