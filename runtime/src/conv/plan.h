// What BinaryConv::prepare decides and BinaryConv::run follows.
//
// The output is cut into bands: stretches of rows (of the pool's output if there is one, of all images one after another) and chunks:
// stretches of channels. A task is a band times some chunks. It expands the input rows that its band needs, with their padding, into
// scratch of its thread, then for each chunk multiplies all patches of the band and lets the stage write the chunk's part of the output.
#pragma once

#include <cstdint>
#include <vector>

#include "conv/binary_conv.h"
#include "conv/filter.h"
#include "conv/output_stage.h"
#include "conv/patches.h"
#include "conv/scratch.h"
#include "conv/tasks.h"
#include "conv/weights.h"
#include "conv/zero_padding.h"
#include "kernels/dispatch.h"
#include "status.h"

namespace bduo {

struct BinaryConv::Plan {
  ConvShape shape;
  const Kernel<BitGemm>* kernel = nullptr;
  Patches patches;
  Weights weights;
  ZeroPadding zero_padding;  // prepared only if the shape has it
  OutputStage stage;
  Tasks tasks;
  std::vector<Scratch> scratch;  // one a thread

  // Everything but the stage, which is prepared before. `kernel_name` is null if the best kernel is to be chosen.
  Status prepare(const ChannelLayout& input, const Filter& filter, int64_t filter_words, int threads, const char* kernel_name);

  void run_task(const uint8_t* input, uint8_t* output, const float* residual, int64_t task, Scratch& scratch) const;

 private:
  Status choose_kernels(const char* kernel_name);
  Status allocate_scratch(int threads);
};

}  // namespace bduo
