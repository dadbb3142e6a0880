// How many rows a band has.
#include "conv/bands.h"

namespace bduo {

void Bands::cut(const ConvShape& shape, const PoolShape* pool_shape, int threads) {
  // As many patches as make the reading of the weights cheap and as few as keep their sums in the cache; enough bands for the threads to
  // end together, if that leaves each enough patches.
  constexpr int64_t kMostPatches = 192, kLeastPatches = 48;
  conv_rows = shape.output_height;
  image_rows = pool_shape != nullptr ? pool_shape->output_height : conv_rows;
  pool = pool_shape != nullptr ? pool_shape->window : Window();
  rows = int64_t{shape.batch} * image_rows;
  const int64_t row_patches = int64_t{shape.output_width} * pool.stride_height;
  band_rows = std::max<int64_t>(1, kMostPatches / row_patches);
  if (threads > 1) band_rows = std::min(band_rows, std::max(rows / (4 * threads), kLeastPatches / row_patches));
  band_rows = std::max<int64_t>(1, band_rows);
  count = (rows + band_rows - 1) / band_rows;
  band_rows = (rows + count - 1) / count;
  count = (rows + band_rows - 1) / band_rows;
}

}  // namespace bduo
