// Limits against hostile files: what a file may ask for before it is refused. Each lies far above what any network needs and exists so that
// a small file can neither take much memory or time nor make any arithmetic overflow.
//
// This file cannot be called limits.h: src/ is on the include path, and the standard library's own <limits.h> would be hidden.
#pragma once

#include <cstdint>

namespace bduo::limits {

// Elements (bits or numbers) of a tensor that a convolution, a pool or a quantization reads or writes. Their bytes, and products with small
// factors, stay far below what 64 bits hold.
inline constexpr int64_t kMostConvElements = int64_t{1} << 31;

// Any one dimension, window, stride or dilation, and also the window spread by its dilation, so that a product of two of them fits 64 bits
// with room to spare.
inline constexpr int64_t kLargestSize = int64_t{1} << 24;

// Bits that are compared for one output, so that twice an accumulator, and sums of a few of them, fit 32 bits.
inline constexpr int64_t kLargestDepth = int64_t{1} << 28;

// Copies of the channels that a comparison writes. A network has one for each step of its activations, a handful.
inline constexpr int32_t kMostCopies = 1 << 16;

// Expanded bytes of the input rows under one window, and of those under one band. Where dilation makes most of them padding, a few bytes of
// a file would otherwise decide over gigabytes. Offsets within a window (Run::offset) also stay within 32 bits.
inline constexpr int64_t kMostWindowBytes = int64_t{1} << 26;
inline constexpr int64_t kMostBandBytes = int64_t{1} << 28;

// Sums of one chunk of channels over one band, so that their number does not overflow before they are allocated.
inline constexpr int64_t kMostBandSums = int64_t{1} << 31;

// Bytes of any one allocation whose size a file decides. What is less and still not there is an error of its own.
inline constexpr int64_t kMostBufferBytes = int64_t{1} << 33;

// Threads of a pool, and of a convolution's scratch. No machine gains from more, and each of them costs memory.
inline constexpr int kMostThreads = 256;

}  // namespace bduo::limits
