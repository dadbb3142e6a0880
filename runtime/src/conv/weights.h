// A convolution's weights, packed for its kernel, and their product with patches.
#pragma once

#include <cstdint>
#include <vector>

#include "conv/buffer.h"
#include "conv/filter.h"
#include "conv/patches.h"
#include "conv/tasks.h"
#include "kernels/bit_gemm.h"
#include "status.h"

namespace bduo {

// A part of K that 16-bit sums can hold.
struct Span {
  int64_t first_run, run_count;
  int64_t k;  // where in K it starts, in bytes
};

struct Weights {
  const BitGemm* gemm = nullptr;
  std::vector<Run> runs;
  std::vector<Span> spans;
  int64_t k_bytes = 0;
  int64_t expanded_group = 0;  // bytes from a group's activations of a pixel to the next group's
  Buffer<uint8_t> packed;      // [group][block]

  // Fails only if there is no memory.
  Status prepare(const Patches& patches, const ChannelLayout& input, const Filter& filter);

  // The sums of a chunk for all patches that were gathered.
  void multiply(const Chunk& chunk, Scratch& scratch) const;

 private:
  void cut_runs(const Patches& patches);
};

}  // namespace bduo
