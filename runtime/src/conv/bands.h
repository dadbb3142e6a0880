// The rows of a stage's output, cut into bands: stretches of rows of all images one after another.
#pragma once

#include <algorithm>
#include <cstdint>

#include "conv/shape.h"

namespace bduo {

// What of a band lies in one image.
struct Piece {
  int64_t image;
  int64_t first, last;            // rows of the stage's output, `last` not included
  int64_t first_conv, last_conv;  // rows of the convolution's output that these are made of; the same ones unless there is a pool
};

struct Bands {
  int64_t image_rows = 0;  // of the stage's output
  int64_t conv_rows = 0;   // of the convolution's output, of an image
  Window pool;             // between the two; without a pool, one of a single row
  int64_t rows = 0;        // of the stage's output, all images together
  int64_t band_rows = 0;
  int64_t count = 0;

  // `pool` is null if the stage has none.
  void cut(const ConvShape& shape, const PoolShape* pool, int threads);

  int64_t first_row(int64_t band) const { return band * band_rows; }
  int64_t last_row(int64_t band) const { return std::min(rows, (band + 1) * band_rows); }

  // Calls visit(piece) for each image's part of a band.
  template <class Visit>
  void pieces(int64_t band, const Visit& visit) const {
    const int64_t end = last_row(band);
    for (int64_t row = first_row(band); row < end;) {
      const int64_t image = row / image_rows, image_row = image * image_rows, next = std::min(end, image_row + image_rows);
      const int64_t first = row - image_row, last = next - image_row;
      visit(Piece{image, first, last, std::max<int64_t>(0, first * pool.stride_height - pool.pad_top),
                  std::min(conv_rows, (last - 1) * pool.stride_height - pool.pad_top + pool.height)});
      row = next;
    }
  }
};

}  // namespace bduo
