// A convolution's filter as the file has it, and which outputs' signs are turned round.
#pragma once

#include <cstdint>
#include <vector>

#include "conv/shape.h"

namespace bduo {

// The filter of LCE has words [channels_out][taps][words of a group's channels], logical channel c of the group at bit c of its words.
struct Filter {
  const int32_t* words = nullptr;
  int64_t taps = 0;                     // positions of the window
  int64_t channels = 0;                 // of a group
  int64_t tap_words = 0;                // words of a tap
  const std::vector<uint8_t>& negated;  // one an output channel, or empty: none

  Filter(const ConvShape& shape, const int32_t* filter_words, const std::vector<uint8_t>& negated_channels)
      : words(filter_words),
        taps(int64_t{shape.window.height} * shape.window.width),
        channels(shape.channels_in / shape.groups),
        tap_words(words_of(shape.channels_in / shape.groups)),
        negated(negated_channels) {}

  const int32_t* tap(int64_t output, int64_t tap) const { return words + (output * taps + tap) * tap_words; }
  // The bit that every bit of an output is to be xored with.
  uint32_t sign_bit(int64_t output) const { return !negated.empty() && negated[static_cast<size_t>(output)] != 0 ? 1 : 0; }
};

inline uint32_t bit_of(const int32_t* words, int64_t c) { return static_cast<uint32_t>(words[c / 32]) >> (c % 32) & 1; }

}  // namespace bduo
