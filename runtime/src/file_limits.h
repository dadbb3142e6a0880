// Limits against hostile files, all of them: what a file may ask for before it is refused. Each lies far above what any network needs and
// exists so that a small file can neither take much memory or time nor make any arithmetic overflow.
//
// This file cannot be called limits.h: src/ is on the include path, and the standard library's own <limits.h> would be hidden.
#pragma once

#include <cstddef>
#include <cstdint>

namespace bduo::limits {

// The host's graph.

// Entries of an array that the host hands over (its tensors, its execution plan, the dimensions of a tensor). A host whose structures lie
// differently from how abi/tflite.h declares them shows pointers and counters mixed up, hence absurd lengths, and reading so far would
// crash.
inline constexpr int kMostArrayEntries = 1 << 26;

// Elements of a tensor. Products of dimensions are formed in 64 bits; with this bound a later factor of up to 2^23, such as bytes of an
// element or bits of a word, cannot overflow them.
inline constexpr int64_t kMostElements = int64_t{1} << 40;

// What the search for fused passes may cost.

// Operators that may follow one another between a tensor and the bits made from it. Every tensor on the way is tried as the place where a
// fused pass could begin, so the search takes the square of this.
inline constexpr size_t kMostChainedOperators = 64;

// Tensors that a concatenation before an LceQuantize may join. Each is searched as above.
inline constexpr size_t kMostConcatenated = 64;

// Steps of the search in one plan, as a multiple of the number of operators: tensors gone along and readers asked, also in vain. Many
// operators may read the same long chains, so that without it the time to load a file grows faster than the file. Networks need some tens.
inline constexpr int64_t kMostSearchPerOperator = 512;

// Evaluations that the search for thresholds may cost in one plan, counted as operations times channels. Each costs some 60 evaluations of
// float operations; a file of many large LceQuantize operators that share their constants would otherwise take minutes to load.
inline constexpr int64_t kMostThresholdWork = 1 << 22;

// A convolution, a pool, a comparison or a quantization.

// Elements (bits or numbers) of a tensor that it reads or writes. Their bytes, and products with small factors, stay far below what 64 bits
// hold.
inline constexpr int64_t kMostConvElements = int64_t{1} << 31;

// Any one dimension, window, stride or dilation, and also the window spread by its dilation, so that a product of two of them fits 64 bits
// with room to spare.
inline constexpr int64_t kLargestSize = int64_t{1} << 24;

// Bits that are compared for one output, so that twice an accumulator, and sums of a few of them, fit 32 bits.
inline constexpr int64_t kLargestDepth = int64_t{1} << 28;

// Copies of its channels that a convolution or a comparison writes, since sizes of its tables are products with this. A network has one for
// each step of its activations, a handful.
inline constexpr int32_t kMostCopies = 1 << 16;

// Expanded bytes of the input rows under one window, and of those under one band. Where dilation makes most of them padding, a few bytes of
// a file would otherwise decide over gigabytes. Offsets within a window (Run::offset) also stay within 32 bits.
inline constexpr int64_t kMostWindowBytes = int64_t{1} << 26;
inline constexpr int64_t kMostBandBytes = int64_t{1} << 28;

// Sums of one chunk of channels over one band, so that their number does not overflow before they are allocated.
inline constexpr int64_t kMostBandSums = int64_t{1} << 31;

// Scratch of one thread. A max pool over the whole of a large output would need all of its sums at once, which a file of two kilobytes can
// ask for. A network for pictures of 224 pixels needs less than a megabyte.
inline constexpr int64_t kMostScratchBytes = int64_t{1} << 28;

// Bytes of any one allocation whose size a file decides. What is less and still not there is an error of its own.
inline constexpr int64_t kMostBufferBytes = int64_t{1} << 33;

// Threads of a pool, and of a convolution's scratch. No machine gains from more, and each of them costs memory.
inline constexpr int kMostThreads = 256;

}  // namespace bduo::limits
