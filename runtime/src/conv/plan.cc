// The order of preparation, and of the steps of one task.
#include "conv/plan.h"

#include <algorithm>
#include <string>

#include "file_limits.h"
#include "kernels/cpu.h"

namespace bduo {

Status BinaryConv::Plan::choose_kernels(const char* kernel_name) {
  Features there = cpu_features();
  if (kernel_name == nullptr) {
    kernel = &best_bit_gemm(there, shape.output_width);
  } else {
    if (Status status = find_bit_gemm(kernel_name, there, &kernel); !status.ok()) return status;
    there = kernel->needs;  // a kernel that is forced also gets the stages of machines that have no more than it needs
  }
  stage.kernels = best_stages(there).code;
  return Status();
}

Status BinaryConv::Plan::prepare(const ChannelLayout& input, const Filter& filter, int64_t filter_words, int threads,
                                 const char* kernel_name) {
  if (filter.words == nullptr || filter_words != shape.channels_out * filter.taps * filter.tap_words) {
    return Status::error("the filter does not have the size of its shape");
  }
  if (threads < 1 || threads > limits::kMostThreads) return Status::error("threads are not 1 to " + std::to_string(limits::kMostThreads));
  if (Status status = choose_kernels(kernel_name); !status.ok()) return status;
  if (Status status = patches.prepare(shape, input, *kernel->code); !status.ok()) return status;
  if (Status status = weights.prepare(patches, input, filter); !status.ok()) return status;
  if (shape.zero_padding) {
    if (Status status = zero_padding.prepare(shape, filter); !status.ok()) return status;
  }
  tasks.cut(patches, stage.pool_shape(), threads);
  return allocate_scratch(threads);
}

Status BinaryConv::Plan::allocate_scratch(int threads) {
  const int64_t row_bytes = patches.row_bytes(), sums_stride = tasks.sums_stride;
  if (tasks.most_input_rows > limits::kMostBandBytes / row_bytes || sums_stride > limits::kMostBandSums / tasks.most_patches) {
    return no_memory();
  }
  const int64_t bytes =
      tasks.most_input_rows * row_bytes + tasks.most_patches * (sums_stride * int64_t{sizeof(int32_t)} + int64_t{sizeof(const uint8_t*)});
  if (bytes > limits::kMostScratchBytes) {
    return Status::error("it would need " + std::to_string(bytes >> 20) + " MB of scratch memory for each thread, which may be at most " +
                         std::to_string(limits::kMostScratchBytes >> 20));
  }
  scratch.resize(static_cast<size_t>(threads));
  for (Scratch& s : scratch) {
    s.sums.stride = sums_stride;
    s.sums.width = patches.sums_width;
    if (!s.row.allocate((patches.padded_width + patches.next_patch()) * patches.pixel_bytes + kSlack) ||
        !s.input.allocate(tasks.most_input_rows * row_bytes + kSlack) || !s.patches.allocate(tasks.most_patches) ||
        !s.sums.values.allocate(tasks.most_patches * sums_stride) || !s.pooled.allocate(stage.pooled ? sums_stride : 0) ||
        !s.window.allocate(stage.window_pixels())) {
      return no_memory();
    }
  }
  return Status();
}

void BinaryConv::Plan::run_task(const uint8_t* input, uint8_t* output, const float* residual, int64_t task, Scratch& s) const {
  const int64_t band = task / tasks.chunk_tasks, first = task % tasks.chunk_tasks * tasks.chunks_per_task;
  const int64_t last = std::min<int64_t>(first + tasks.chunks_per_task, static_cast<int64_t>(tasks.chunks.size()));
  patches.gather(input, tasks.bands, band, s);
  for (int64_t i = first; i < last; ++i) {
    const Chunk& chunk = tasks.chunks[static_cast<size_t>(i)];
    weights.multiply(chunk, s);
    if (shape.zero_padding) zero_padding.correct(chunk, tasks.bands, band, s.sums);
    stage.write(chunk, tasks.bands, band, s, output, residual);
  }
}

}  // namespace bduo
