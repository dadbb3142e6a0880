// Limits against hostile files, all of them: what a file may ask for before it is refused. Each lies far above what any
// network needs and exists so that a small file can neither take much memory or time nor make any arithmetic overflow.
#pragma once

#include <cstddef>
#include <cstdint>

namespace bduo::limits {

// Entries of an array that the host hands over (its tensors, its execution plan, the dimensions of a tensor). A host
// whose structures lie differently from how abi/tflite.h declares them shows pointers and counters mixed up, hence
// absurd lengths, and reading so far would crash.
inline constexpr int kMostArrayEntries = 1 << 26;

// Elements of a tensor. Products of dimensions are formed in 64 bits; with this bound a later factor of up to 2^23,
// such as bytes of an element or bits of a word, cannot overflow them.
inline constexpr int64_t kMostElements = int64_t{1} << 40;

// Operators that may follow one another between a tensor and the bits made from it. Every tensor on the way is tried as
// the place where a fused pass could begin, so the search takes the square of this.
inline constexpr size_t kMostChainedOperators = 64;

// Tensors that a concatenation before an LceQuantize may join. Each is searched as above.
inline constexpr size_t kMostConcatenated = 64;

// Evaluations that the search for thresholds may cost in one plan, counted as operations times channels. Each costs
// some 60 evaluations of float operations; a file of many large LceQuantize operators that share their constants would
// otherwise take minutes to load.
inline constexpr int64_t kMostThresholdWork = 1 << 22;

// Max pools of bits between a fused pass and the convolutions that read its bits. Every one may have several readers,
// so that the search for these branches at each.
inline constexpr int kMostBitPoolsInRow = 4;

// Copies of its channels that a convolution or a comparison writes: sizes of its tables are products with this.
inline constexpr int32_t kMostCopies = 1 << 16;

}  // namespace bduo::limits
