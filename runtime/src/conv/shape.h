// Shapes of binary convolutions and pools and the place of channels in bits; checks of all that a file can say wrong.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "status.h"

namespace bduo {

// Everywhere in this library bit 1 means -1 and bit 0 means +1. Bit b of a pixel lies in byte b / 8 of it, at b % 8
// (little endian, so that 32 channels make one int32 as in LCE). Bits that carry no channel are 0.

// How many int32 words hold so many channels.
inline int32_t words_of(int32_t channels) { return channels / 32 + (channels % 32 != 0); }

// Where the bits of a pixel's channels lie. A tensor of bits is [batch][height][width][words] of int32.
struct ChannelLayout {
  int32_t words = 0;              // int32 words a pixel
  std::vector<int32_t> position;  // position[c]: bit of logical channel c within the pixel; all different

  int32_t channels() const { return static_cast<int32_t>(position.size()); }

  // The layout of LCE: channel c is bit c.
  static ChannelLayout packed(int32_t channels);
  // The layout that CompareStage and ThresholdQuantize write: channel c of copy k (logical channel k * channels + c, as after a
  // concatenation of the copies) is bit k * round_up(channels, 8) + c. With one copy it equals packed().
  static ChannelLayout copied(int32_t copies, int32_t channels);
};

// A window that slides over an image, for convolutions and pools.
struct Window {
  int32_t height = 1, width = 1;
  int32_t stride_height = 1, stride_width = 1;
  int32_t dilation_height = 1, dilation_width = 1;
  int32_t pad_top = 0, pad_left = 0;  // rows and columns before the image; what follows it is implied by the output's size

  // Rows and columns from the first tap to the last.
  int64_t effective_height() const { return int64_t{height - 1} * dilation_height + 1; }
  int64_t effective_width() const { return int64_t{width - 1} * dilation_width + 1; }
};

// Finds TFLite's output size and leading padding of one dimension (SAME: ceil(input / stride), the smaller half of the padding
// first; VALID: ceil((input - effective + 1) / stride)).
Status slide(int32_t input, int32_t window, int32_t stride, int32_t dilation, bool same, int32_t* output, int32_t* pad_before);

struct ConvShape {
  int32_t batch = 1;
  int32_t input_height = 0, input_width = 0, channels_in = 0;     // logical channels, all groups together
  int32_t output_height = 0, output_width = 0, channels_out = 0;  // before any pool
  Window window;
  int32_t groups = 1;
  bool zero_padding = false;  // false: padding is +1 (bit 0); true: padded taps contribute nothing (LCE's pad_values 0)

  // K, the bits compared for an output. The accumulator (popcount of xor) lies in 0..K, and the dot product is K - 2 * accumulator.
  int64_t depth() const { return int64_t{window.height} * window.width * (channels_in / groups); }
  int64_t macs() const { return int64_t{batch} * output_height * output_width * channels_out * depth(); }

  // Checks that every size is positive, consistent with the others and small enough for all later arithmetic.
  Status validate() const;
};

struct PoolShape {
  int32_t batch = 1;
  int32_t input_height = 0, input_width = 0;
  int32_t output_height = 0, output_width = 0;
  Window window;  // dilation 1; padded pixels never take part in the maximum

  Status validate() const;
};

}  // namespace bduo
