// Cutting K into runs and spans, and packing weights in their order.
#include "conv/weights.h"

#include <algorithm>
#include <cstring>

namespace bduo {

Status Weights::prepare(const Patches& patches, const ChannelLayout& input, const Filter& filter) {
  const ConvShape& shape = patches.shape;
  const int64_t outputs = shape.channels_out / shape.groups, blocks = (outputs + kBlock - 1) / kBlock;
  gemm = patches.gemm;
  expanded_group = patches.expanded_group();
  k_bytes = filter.taps * patches.group_bytes;
  cut_runs(patches);

  Buffer<uint8_t> rows;
  if (!packed.allocate(shape.groups * blocks * kBlock * k_bytes) || !rows.allocate(kBlock * k_bytes)) return no_memory();
  for (int64_t group = 0; group < shape.groups; ++group) {
    const int32_t* position = input.position.data() + group * filter.channels;
    const int64_t first_bit = group * patches.group_stride * 8;
    for (int64_t block = 0; block < blocks; ++block) {
      std::memset(rows.data(), 0, static_cast<size_t>(kBlock * k_bytes));
      const int32_t lanes = static_cast<int32_t>(std::min<int64_t>(kBlock, outputs - block * kBlock));
      for (int64_t lane = 0; lane < lanes; ++lane) {
        const int64_t output = group * outputs + block * kBlock + lane;
        const uint32_t sign = filter.sign_bit(output);
        for (int64_t tap = 0; tap < filter.taps; ++tap) {
          const int32_t* from = filter.tap(output, tap);
          uint8_t* to = rows.data() + lane * k_bytes + tap * patches.group_bytes;
          for (int64_t c = 0; c < filter.channels; ++c) {
            const int64_t at = position[c] - first_bit;
            to[at / 8] = static_cast<uint8_t>(to[at / 8] | (bit_of(from, c) ^ sign) << at % 8);
          }
        }
      }
      gemm->pack(rows.data(), k_bytes, lanes, packed.data() + (group * blocks + block) * kBlock * k_bytes);
    }
  }
  return Status();
}

void Weights::cut_runs(const Patches& patches) {
  const Window& w = patches.shape.window;
  const bool rows_contiguous = w.dilation_width == 1 && patches.shape.groups == 1;
  const int64_t columns = rows_contiguous ? 1 : w.width, bytes = rows_contiguous ? w.width * patches.group_bytes : patches.group_bytes;
  int64_t held = 0, in_span = 0, k = 0;  // bytes since the last flush, in the span, and of K so far
  spans.push_back({0, 0, 0});
  const auto end_span = [&] {
    runs.back().flush = 1;
    spans.back().run_count = static_cast<int64_t>(runs.size()) - spans.back().first_run;
    held = in_span = 0;
  };
  for (int64_t y = 0; y < w.height; ++y) {
    for (int64_t x = 0; x < columns; ++x) {
      int64_t offset = y * w.dilation_height * patches.row_bytes() + x * w.dilation_width * patches.expanded_pixel;
      for (int64_t left = bytes; left > 0;) {
        if (in_span > 0 && kSpanBytes - in_span < gemm->align) {
          end_span();
          spans.push_back({static_cast<int64_t>(runs.size()), 0, k});
        }
        const int64_t room = std::min(gemm->flush_bytes - held, kSpanBytes - in_span);
        const int64_t take = std::min(left, room / gemm->align * gemm->align);
        held += take, in_span += take, k += take, left -= take;
        const bool full = gemm->flush_bytes - held < gemm->align;
        runs.push_back({static_cast<int32_t>(offset), static_cast<int32_t>(take), full ? 1 : 0});
        if (full) held = 0;
        offset += take * gemm->expansion;
      }
    }
  }
  end_span();
}

void Weights::multiply(const Chunk& chunk, Scratch& scratch) const {
  GemmCall call{};
  call.patches = scratch.patches.data();
  call.patch_count = scratch.patch_count;
  call.block_stride = k_bytes * kBlock;
  call.sum_stride = scratch.sums.stride;
  for (const ChunkPart& part : chunk.parts) {
    call.patch_offset = part.group * expanded_group;
    call.blocks = part.blocks;
    call.last_outputs = part.last_outputs;
    call.sums = scratch.sums.values.data() + part.sums_offset;
    const uint8_t* weights = packed.data() + part.first_block * kBlock * k_bytes;
    for (const Span& span : spans) {
      call.runs = runs.data() + span.first_run;
      call.run_count = span.run_count;
      call.weights = weights + span.k * kBlock;
      call.accumulate = &span != spans.data();
      gemm->gemm(call);
    }
  }
}

}  // namespace bduo
