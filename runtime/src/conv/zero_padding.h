// Padding with zeros, which are no bits: padded taps are multiplied as if they were +1, and what that adds is taken away again.
#pragma once

#include <cstdint>

#include "conv/bands.h"
#include "conv/buffer.h"
#include "conv/filter.h"
#include "conv/scratch.h"
#include "conv/shape.h"
#include "conv/tasks.h"
#include "status.h"

namespace bduo {

struct ZeroPadding {
  ConvShape shape;
  Buffer<int32_t> corrections;  // [tap][channel]: the dot product of +1 and the tap's weights

  // Fails only if there is no memory.
  Status prepare(const ConvShape& conv_shape, const Filter& filter);

  // Turns a chunk's sums into twice themselves, plus what padded taps contributed wrongly.
  void correct(const Chunk& chunk, const Bands& bands, int64_t band, Sums& sums) const;

 private:
  void correct_pixel(const Chunk& chunk, int64_t y, int64_t x, int32_t* sums) const;
};

}  // namespace bduo
