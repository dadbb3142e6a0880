// What a convolution's threads take in turns: bands of rows (bands.h) times some chunks of channels.
#pragma once

#include <cstdint>
#include <vector>

#include "conv/bands.h"
#include "conv/patches.h"
#include "conv/shape.h"

namespace bduo {

// Blocks of weights of one group whose sums stand side by side.
struct ChunkPart {
  int32_t group;
  int32_t blocks;
  int32_t last_outputs;  // outputs of the last block
  int64_t first_block;   // in the packed weights, of all groups
  int64_t sums_offset;   // where its sums begin in a patch's
};

// Channels that the stage handles together. The first is a multiple of 8, so that their bits are whole bytes.
struct Chunk {
  int32_t first;
  int32_t channels;
  std::vector<ChunkPart> parts;
};

struct Tasks {
  Bands bands;
  int64_t most_patches = 0;     // of a band, as rows of sums count them
  int64_t most_input_rows = 0;  // of a band, with padding
  std::vector<Chunk> chunks;
  int64_t sums_stride = 0;  // Sums::stride
  int64_t chunks_per_task = 0, chunk_tasks = 0;

  // `pool` is null if the stage has none.
  void cut(const Patches& patches, const PoolShape* pool, int threads);

  int64_t count() const { return bands.count * chunk_tasks; }

 private:
  void cut_chunks(const ConvShape& shape);
};

}  // namespace bduo
