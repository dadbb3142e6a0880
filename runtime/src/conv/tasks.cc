// Cutting into chunks and tasks.
#include "conv/tasks.h"

#include <algorithm>

#include "kernels/bit_gemm.h"

namespace bduo {

void Tasks::cut(const Patches& patches, const PoolShape* pool, int threads) {
  bands.cut(patches.shape, pool, threads);
  for (int64_t band = 0; band < bands.count; ++band) {
    int64_t band_patches = 0, input_rows = 0;
    bands.pieces(band, [&](const Piece& piece) {
      const int64_t rows = piece.last_conv - piece.first_conv;
      band_patches += rows * patches.sums_width;
      input_rows += patches.input_rows(rows);
    });
    most_patches = std::max(most_patches, band_patches);
    most_input_rows = std::max(most_input_rows, input_rows);
  }

  cut_chunks(patches.shape);
  // All chunks of a band make one task, so that its input is expanded once; fewer where there would not be enough tasks for the threads.
  const int64_t count = static_cast<int64_t>(chunks.size());
  chunks_per_task = count;
  while (threads > 1 && chunks_per_task > 1 && bands.count * ((count + chunks_per_task - 1) / chunks_per_task) < 4 * threads) {
    chunks_per_task = (chunks_per_task + 1) / 2;
  }
  chunk_tasks = (count + chunks_per_task - 1) / chunks_per_task;
}

void Tasks::cut_chunks(const ConvShape& shape) {
  // Kernels multiply two blocks with several patches at a time; where there are hardly any patches, they take four.
  const int32_t chunk_blocks = most_patches < 3 ? 4 : 2;
  const int32_t outputs = shape.channels_out / shape.groups, blocks = (outputs + kBlock - 1) / kBlock;
  // Where the bits of a group are not whole bytes, all groups make one chunk.
  const bool whole = shape.groups > 1 && outputs % 8 != 0;
  for (int32_t group = 0; group < shape.groups; ++group) {
    for (int32_t block = 0; block < blocks; block += chunk_blocks) {
      const int32_t first = group * outputs + block * kBlock, taken = std::min(chunk_blocks, blocks - block);
      const int32_t channels = std::min(taken * kBlock, outputs - block * kBlock);
      if (chunks.empty() || !whole) chunks.push_back({first, 0, {}});
      Chunk& chunk = chunks.back();
      ChunkPart part;
      part.group = group;
      part.blocks = taken;
      part.last_outputs = channels - (taken - 1) * kBlock;
      part.first_block = int64_t{group} * blocks + block;
      part.sums_offset = first - chunk.first;
      chunk.parts.push_back(part);
      chunk.channels += channels;
      sums_stride = std::max<int64_t>(sums_stride, part.sums_offset + taken * kBlock);
    }
  }
}

}  // namespace bduo
