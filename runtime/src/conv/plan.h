// What BinaryConv::prepare decides and BinaryConv::run follows.
//
// The output is cut into bands: stretches of rows (of the pool's output if there is one, of all images one after another) and chunks:
// stretches of channels. A task is a band times some chunks. It expands the input rows that its band needs, with their padding, into
// scratch of its thread, then for each chunk multiplies all patches of the band and lets the stage write the chunk's part of the output.
#pragma once

#include <cstdint>
#include <vector>

#include "conv/binary_conv.h"
#include "conv/buffer.h"
#include "kernels/kernels.h"

namespace bduo {

enum class Output { kFloat, kInt8, kBits };

// Blocks of weights of one group whose sums stand side by side.
struct ChunkPart {
  int32_t group;
  int32_t blocks;
  int32_t last_outputs;  // of the last block
  int64_t weights;      // where in the packed weights
  int64_t sums_offset;  // where in a patch's sums
};

// Channels that the stage handles together; the first is a multiple of 8, so that their bits are whole bytes.
struct Chunk {
  int32_t first;
  int32_t channels;
  std::vector<ChunkPart> parts;
};

// Part of K that 16-bit sums can hold.
struct Span {
  int64_t first_run, run_count;
  int64_t k;  // where in K it starts, in bytes
};

struct Scratch {
  Buffer<uint8_t> row;              // bits of a row of the input with its padding, which stays 0
  Buffer<uint8_t> input;            // expanded rows with their padding
  Buffer<const uint8_t*> patches;   // of every pixel of a band
  Buffer<int32_t> sums;             // of every pixel of a band, one chunk wide
  Buffer<int32_t> pooled;           // one pixel, one chunk wide
  Buffer<const int32_t*> window;    // the pool's pixels
};

struct BinaryConv::Plan {
  ConvShape shape;
  const BitGemm* gemm = nullptr;
  const Stages* stages = nullptr;
  Output output = Output::kFloat;

  // Input and weights.
  int64_t input_pixel = 0;     // bytes of a pixel's bits
  int64_t group_stride = 0;    // bytes from a group's bits to the next group's
  int64_t group_bytes = 0;     // bytes of a group's bits that matter, as the kernel aligns them
  int64_t pixel_bytes = 0;     // the same of all groups
  int64_t expanded_pixel = 0;  // bytes of those
  int64_t padded_width = 0;    // pixels of an expanded row
  int64_t sums_width = 0;      // pixels of a row of sums: the output's, rounded up to what the kernel takes together
  std::vector<Run> runs;
  std::vector<Span> spans;
  int64_t k_bytes = 0;
  Buffer<uint8_t> weights;          // packed, [group][block]
  Buffer<int32_t> tap_corrections;  // zero padding only: [tap][channel], dot product of +1 and the tap's weights

  // Stage.
  int32_t clamp_min = 0, clamp_max = 0;
  std::vector<float> multiplier, bias;
  bool pooled = false;
  PoolShape pool;
  int32_t copies = 1;
  int64_t padded_channels = 0;        // channels rounded up to kBlock
  std::vector<int32_t> threshold;     // [copy][padded channel], of sums (twice the sums plus the correction for zero padding)
  std::vector<uint8_t> inverted;      // the same, as bits
  ChannelLayout output_layout;

  // Tasks.
  int64_t rows = 0, band_rows = 0, bands = 0;  // rows of all images together
  std::vector<Chunk> chunks;
  int64_t chunks_per_task = 0, chunk_tasks = 0;
  int64_t sums_stride = 0;
  std::vector<Scratch> scratch;  // one a thread

  int64_t effective_height() const { return int64_t{shape.window.height - 1} * shape.window.dilation_height + 1; }
  int64_t effective_width() const { return int64_t{shape.window.width - 1} * shape.window.dilation_width + 1; }
  // Pixels from a patch to the one beside it; if there is none, as many as lead to the zeros behind the row.
  int64_t next_patch() const { return shape.window.stride_width < padded_width ? shape.window.stride_width : padded_width; }
  int64_t rows_per_image() const { return pooled ? pool.output_height : shape.output_height; }
  int64_t row_width() const { return pooled ? pool.output_width : shape.output_width; }

  // Rows of the convolution's output, of one image, that rows [first, last) of the stage's output need.
  void conv_rows(int64_t first, int64_t last, int64_t* begin, int64_t* end) const;
  // Calls piece(image, first, last) for each image's part of a band, rows counted within the image.
  template <class Piece>
  void pieces(int64_t band, const Piece& piece) const {
    const int64_t end = band + 1 == bands ? rows : (band + 1) * band_rows, height = rows_per_image();
    for (int64_t row = band * band_rows; row < end;) {
      const int64_t image = row / height, last = end < (image + 1) * height ? end : (image + 1) * height;
      piece(image, row - image * height, last - image * height);
      row = last;
    }
  }

  std::string prepare(const ChannelLayout& input, const int32_t* filter, int64_t filter_words, const std::vector<uint8_t>& negate,
                      int threads, const char* kernel);
  std::string prepare_scaling(Activation activation, const std::vector<float>& multiplier, const std::vector<float>& bias, double scale,
                              double zero_point);
  // Each sets `output` and what its stage needs.
  std::string prepare_stage(const FloatStage& stage);
  std::string prepare_stage(const Int8Stage& stage);
  std::string prepare_stage(const CompareStage& stage);

  void run_task(const uint8_t* input, uint8_t* output, const float* residual, int64_t task, Scratch& scratch) const;

 private:
  std::string choose_kernel(const char* name);
  std::string pack_weights(const ChannelLayout& input, const int32_t* filter, const std::vector<uint8_t>& negate);
  void cut_runs();
  std::string cut_tasks(int threads);

  int64_t gather(const uint8_t* input, int64_t band, Scratch& scratch) const;
  void multiply(const Chunk& chunk, int64_t patches, Scratch& scratch) const;
  void correct(const Chunk& chunk, int64_t band, Scratch& scratch) const;
  void scale(const Chunk& chunk, int64_t band, int64_t patches, const float* residual, uint8_t* output, const Scratch& scratch) const;
  void compare(const Chunk& chunk, int64_t band, uint8_t* output, Scratch& scratch) const;
};

}  // namespace bduo
