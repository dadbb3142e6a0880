// Running one task of a binary convolution: a band of rows times some chunks of channels.
#include <algorithm>
#include <cstring>

#include "conv/plan.h"

namespace bduo {

void BinaryConv::Plan::run_task(const uint8_t* input, uint8_t* output_bytes, const float* residual, int64_t task, Scratch& s) const {
  const int64_t band = task / chunk_tasks, first = task % chunk_tasks * chunks_per_task;
  const int64_t last = std::min<int64_t>(first + chunks_per_task, static_cast<int64_t>(chunks.size()));
  const int64_t patches = gather(input, band, s);
  for (int64_t i = first; i < last; ++i) {
    const Chunk& chunk = chunks[static_cast<size_t>(i)];
    multiply(chunk, patches, s);
    if (shape.zero_padding) correct(chunk, band, s);
    if (output == Output::kBits) {
      compare(chunk, band, output_bytes, s);
    } else {
      scale(chunk, band, patches, residual, output_bytes, s);
    }
  }
}

// Expands the band's input rows, padding being bits 0, and notes where every patch begins. Returns how many there are, as the kernel counts.
int64_t BinaryConv::Plan::gather(const uint8_t* input, int64_t band, Scratch& s) const {
  const Window& w = shape.window;
  const int64_t row_bytes = padded_width * expanded_pixel;
  const int64_t columns = std::min<int64_t>(shape.input_width, padded_width - w.pad_left);
  uint8_t* to = s.input.data();
  int64_t patches = 0;
  pieces(band, [&](int64_t image, int64_t first, int64_t last) {
    int64_t begin, end;
    conv_rows(first, last, &begin, &end);
    const int64_t top = begin * w.stride_height, bottom = (end - 1) * w.stride_height + effective_height();  // in the padded image
    const uint8_t* piece = to;
    for (int64_t row = top; row < bottom; ++row, to += row_bytes) {
      const int64_t y = row - w.pad_top;
      if (y < 0 || y >= shape.input_height) {
        std::memset(to, 0, static_cast<size_t>(row_bytes));
        continue;
      }
      const uint8_t* from = input + (image * shape.input_height + y) * shape.input_width * input_pixel;
      uint8_t* bits = s.row.data() + w.pad_left * pixel_bytes;
      if (pixel_bytes == input_pixel) {
        std::memcpy(bits, from, static_cast<size_t>(columns * input_pixel));
      } else {
        for (int64_t x = 0; x < columns; ++x, from += input_pixel) {
          for (int64_t group = 0; group < shape.groups; ++group, bits += group_bytes) {
            std::memcpy(bits, from + group * group_stride, static_cast<size_t>(group_bytes));
          }
        }
      }
      gemm->expand(s.row.data(), padded_width * pixel_bytes, next_patch() * pixel_bytes, to);
    }
    for (int64_t y = begin; y < end; ++y) {
      for (int64_t x = 0; x < shape.output_width; x += gemm->patches) {
        s.patches[patches++] = piece + (y * w.stride_height - top) * row_bytes + x * w.stride_width * expanded_pixel;
      }
    }
  });
  return patches;
}

void BinaryConv::Plan::multiply(const Chunk& chunk, int64_t patches, Scratch& s) const {
  for (const ChunkPart& part : chunk.parts) {
    for (size_t i = 0; i < spans.size(); ++i) {
      const Span& span = spans[i];
      gemm->gemm({s.patches.data(), patches, part.group * group_bytes * gemm->expansion, runs.data() + span.first_run, span.run_count,
                  weights.data() + part.weights + span.k * kBlock, k_bytes * kBlock, part.blocks, part.last_outputs, s.sums.data() + part.sums_offset,
                  sums_stride, i > 0});
    }
  }
}

// For zero padding: sums become twice themselves, plus what the padded taps, which were taken for +1, contributed wrongly.
void BinaryConv::Plan::correct(const Chunk& chunk, int64_t band, Scratch& s) const {
  const Window& w = shape.window;
  int32_t* row = s.sums.data();
  pieces(band, [&](int64_t, int64_t first, int64_t last) {
    int64_t begin, end;
    conv_rows(first, last, &begin, &end);
    for (int64_t y = begin; y < end; ++y, row += sums_width * sums_stride) {
      int32_t* sums = row;
      for (int64_t x = 0; x < shape.output_width; ++x, sums += sums_stride) {
        for (int32_t c = 0; c < chunk.channels; ++c) sums[c] *= 2;
        for (int64_t ky = 0; ky < w.height; ++ky) {
          const int64_t in_y = y * w.stride_height - w.pad_top + ky * w.dilation_height;
          for (int64_t kx = 0; kx < w.width; ++kx) {
            const int64_t in_x = x * w.stride_width - w.pad_left + kx * w.dilation_width;
            if (in_y >= 0 && in_y < shape.input_height && in_x >= 0 && in_x < shape.input_width) continue;
            const int32_t* correction = tap_corrections.data() + (ky * w.width + kx) * shape.channels_out + chunk.first;
            for (int32_t c = 0; c < chunk.channels; ++c) sums[c] += correction[c];
          }
        }
      }
    }
  });
}

void BinaryConv::Plan::scale(const Chunk& chunk, int64_t band, int64_t patches, const float* residual, uint8_t* output_bytes,
                             const Scratch& s) const {
  const int shift = shape.zero_padding ? 0 : 1;
  const float* m = multiplier.data() + chunk.first;
  const float* b = bias.data() + chunk.first;
  int64_t at = band * band_rows * shape.output_width * shape.channels_out + chunk.first;
  const int32_t* end = s.sums.data() + patches * gemm->patches * sums_stride;
  for (const int32_t* row = s.sums.data(); row != end; row += sums_width * sums_stride) {
    const int32_t* sums = row;
    for (int64_t x = 0; x < shape.output_width; ++x, at += shape.channels_out, sums += sums_stride) {
      if (output == Output::kFloat) {
        stages->scale(sums, chunk.channels, shift, clamp_min, clamp_max, m, b, residual != nullptr ? residual + at : nullptr,
                      reinterpret_cast<float*>(output_bytes) + at);
      } else {
        stages->scale_int8(sums, chunk.channels, shift, clamp_min, clamp_max, m, b, reinterpret_cast<int8_t*>(output_bytes) + at);
      }
    }
  }
}

void BinaryConv::Plan::compare(const Chunk& chunk, int64_t band, uint8_t* output_bytes, Scratch& s) const {
  const int64_t copy_bytes = (int64_t{shape.channels_out} + 7) / 8, used = copies * copy_bytes;
  const int64_t pixel = int64_t{output_layout.words} * 4, width = row_width();
  const bool last_chunk = chunk.first + chunk.channels == shape.channels_out;
  const auto write = [&](const int32_t* sums, uint8_t* to) {
    for (int64_t k = 0; k < copies; ++k) {
      const int64_t at = k * padded_channels + chunk.first;
      stages->compare(sums, chunk.channels, threshold.data() + at, inverted.data() + at / 8, to + k * copy_bytes + chunk.first / 8);
    }
    if (last_chunk) std::memset(to + used, 0, static_cast<size_t>(pixel - used));
  };

  const int32_t* sums = s.sums.data();
  uint8_t* to = output_bytes + band * band_rows * width * pixel;
  pieces(band, [&](int64_t, int64_t first, int64_t last) {
    int64_t begin, end;
    conv_rows(first, last, &begin, &end);
    for (int64_t row = first; row < last; ++row) {
      for (int64_t column = 0; column < width; ++column, to += pixel) {
        if (!pooled) {
          write(sums + ((row - begin) * sums_width + column) * sums_stride, to);
          continue;
        }
        // The greatest dot product has the least sum.
        const Window& w = pool.window;
        const int64_t top = row * w.stride_height - w.pad_top, left = column * w.stride_width - w.pad_left;
        const int64_t bottom = std::min<int64_t>(shape.output_height, top + w.height);
        const int64_t right = std::min<int64_t>(shape.output_width, left + w.width);
        int64_t count = 0;
        for (int64_t y = std::max<int64_t>(0, top); y < bottom; ++y) {
          for (int64_t x = std::max<int64_t>(0, left); x < right; ++x) {
            s.window[count++] = sums + ((y - begin) * sums_width + x) * sums_stride;
          }
        }
        stages->minimum(s.window.data(), count, chunk.channels, s.pooled.data());
        write(s.pooled.data(), to);
      }
    }
    sums += (end - begin) * sums_width * sums_stride;
  });
}

}  // namespace bduo
