// Planning a binary convolution: the kernel, weights packed for it, K cut into runs, the output cut into tasks.
#include <algorithm>
#include <cstring>

#include "conv/plan.h"

namespace bduo {
namespace {

// Of the expanded rows under a window and of those of a band. Far above any network's: where dilation makes most of them padding, a
// small file must not take much memory and time.
constexpr int64_t kMostWindowBytes = int64_t{1} << 26, kMostBandBytes = int64_t{1} << 28;
constexpr const char* kNoMemory = "there is not enough memory for this convolution";

int64_t round_up(int64_t x, int64_t multiple) { return (x + multiple - 1) / multiple * multiple; }

// The channels of every group in words of their own: bytes of a group that matter, or an error text.
std::string check_layout(const ConvShape& shape, const ChannelLayout& layout, int64_t* group_bytes) {
  if (layout.words < 1 || layout.channels() != shape.channels_in) return "the input's layout does not have the convolution's channels";
  if (layout.words % shape.groups != 0) return "groups do not begin at words of the input";
  if (int64_t{layout.words} > ((int64_t{1} << 31) / shape.batch / shape.input_height / shape.input_width)) return "the input is too large";
  const int64_t bits = int64_t{layout.words} / shape.groups * 32;
  const int32_t channels = shape.channels_in / shape.groups;
  std::vector<bool> taken(static_cast<size_t>(layout.words) * 32);
  int64_t last = 0;
  for (int32_t c = 0; c < shape.channels_in; ++c) {
    const int64_t position = layout.position[static_cast<size_t>(c)], first = c / channels * bits;
    if (position < first || position >= first + bits) return "a channel of the input does not lie in the words of its group";
    if (taken[static_cast<size_t>(position)]) return "two channels of the input share a bit";
    taken[static_cast<size_t>(position)] = true;
    last = std::max(last, position - first);
  }
  *group_bytes = last / 8 + 1;
  return {};
}

}  // namespace

std::string BinaryConv::Plan::choose_kernel(const char* name) {
  const Isa isa = cpu_isa();
  gemm = &best_bit_gemm(isa, shape.output_width);
  if (name != nullptr) {
    int count;
    const BitGemm* const* list = bit_gemms(&count);
    const auto found = std::find_if(list, list + count, [&](const BitGemm* item) { return std::strcmp(item->name, name) == 0; });
    if (found == list + count) return std::string("there is no kernel ") + name;
    if ((*found)->isa > isa) return std::string("this machine cannot run the kernel ") + name;
    gemm = *found;
  }
  stages = &best_stages(gemm->isa);
  return {};
}

std::string BinaryConv::Plan::prepare(const ChannelLayout& input, const int32_t* filter, int64_t filter_words,
                                      const std::vector<uint8_t>& negate, int threads, const char* kernel) {
  const int64_t taps = int64_t{shape.window.height} * shape.window.width;
  if (filter == nullptr || filter_words != shape.channels_out * taps * words_of(shape.channels_in / shape.groups)) return "the filter does not have the size of its shape";
  if (threads < 1 || threads > 256) return "threads are not 1 to 256";
  if (std::string error = choose_kernel(kernel); !error.empty()) return error;
  if (std::string error = check_layout(shape, input, &group_bytes); !error.empty()) return error;

  input_pixel = int64_t{input.words} * 4;
  group_stride = input_pixel / shape.groups;
  group_bytes = round_up(group_bytes, gemm->align);
  pixel_bytes = shape.groups * group_bytes;
  expanded_pixel = pixel_bytes * gemm->expansion;
  padded_width = (int64_t{shape.output_width} - 1) * shape.window.stride_width + effective_width();
  sums_width = round_up(shape.output_width, gemm->patches);
  k_bytes = taps * group_bytes;
  if (padded_width * expanded_pixel > kMostWindowBytes / effective_height()) {
    return "the input's rows are too large";
  }
  cut_runs();
  if (std::string error = pack_weights(input, filter, negate); !error.empty()) return error;
  return cut_tasks(threads);
}

void BinaryConv::Plan::cut_runs() {
  const Window& w = shape.window;
  const bool rows_contiguous = w.dilation_width == 1 && shape.groups == 1;
  const int64_t columns = rows_contiguous ? 1 : w.width, bytes = rows_contiguous ? w.width * group_bytes : group_bytes;
  int64_t held = 0, in_span = 0, k = 0;  // bytes since the last flush, and in the span
  spans.push_back({0, 0, 0});
  const auto end_span = [&] {
    runs.back().flush = 1;
    spans.back().run_count = static_cast<int64_t>(runs.size()) - spans.back().first_run;
    held = in_span = 0;
  };
  for (int64_t y = 0; y < w.height; ++y) {
    for (int64_t x = 0; x < columns; ++x) {
      int64_t offset = (y * w.dilation_height * padded_width + x * w.dilation_width) * expanded_pixel;
      for (int64_t left = bytes; left > 0;) {
        if (in_span > 0 && kSpanBytes - in_span < gemm->align) {
          end_span();
          spans.push_back({static_cast<int64_t>(runs.size()), 0, k});
        }
        const int64_t room = std::min(gemm->flush_bytes - held, kSpanBytes - in_span);
        const int64_t take = std::min(left, room / gemm->align * gemm->align);
        held += take, in_span += take, k += take, left -= take;
        const bool full = gemm->flush_bytes - held < gemm->align;
        runs.push_back({static_cast<int32_t>(offset), static_cast<int32_t>(take), full ? 1 : 0});
        if (full) held = 0;
        offset += take * gemm->expansion;
      }
    }
  }
  end_span();
}

std::string BinaryConv::Plan::pack_weights(const ChannelLayout& input, const int32_t* filter, const std::vector<uint8_t>& negate) {
  const int64_t taps = int64_t{shape.window.height} * shape.window.width;
  const int64_t channels = shape.channels_in / shape.groups, outputs = shape.channels_out / shape.groups;
  const int64_t words = words_of(shape.channels_in / shape.groups), blocks = (outputs + kBlock - 1) / kBlock;
  Buffer<uint8_t> rows;
  if (!weights.allocate(shape.groups * blocks * kBlock * k_bytes) || !rows.allocate(kBlock * k_bytes)) return kNoMemory;
  if (shape.zero_padding && !tap_corrections.allocate(taps * shape.channels_out)) return kNoMemory;

  for (int64_t group = 0; group < shape.groups; ++group) {
    const int32_t* position = input.position.data() + group * channels;
    const int64_t first_bit = group * group_stride * 8;
    for (int64_t block = 0; block < blocks; ++block) {
      std::memset(rows.data(), 0, static_cast<size_t>(kBlock * k_bytes));
      const int32_t lanes = static_cast<int32_t>(std::min<int64_t>(kBlock, outputs - block * kBlock));
      for (int64_t lane = 0; lane < lanes; ++lane) {
        const int64_t out = group * outputs + block * kBlock + lane;
        const uint32_t flip = !negate.empty() && negate[static_cast<size_t>(out)] != 0 ? 1 : 0;
        for (int64_t tap = 0; tap < taps; ++tap) {
          const int32_t* from = filter + (out * taps + tap) * words;
          uint8_t* to = rows.data() + lane * k_bytes + tap * group_bytes;
          int32_t ones = 0;
          for (int64_t c = 0; c < channels; ++c) {
            const uint32_t bit = (static_cast<uint32_t>(from[c / 32]) >> (c % 32) & 1) ^ flip;
            const int64_t at = position[c] - first_bit;
            to[at / 8] = static_cast<uint8_t>(to[at / 8] | bit << at % 8);
            ones += static_cast<int32_t>(bit);
          }
          if (shape.zero_padding) tap_corrections[tap * shape.channels_out + out] = static_cast<int32_t>(channels) - 2 * ones;
        }
      }
      gemm->pack(rows.data(), k_bytes, lanes, weights.data() + (group * blocks + block) * kBlock * k_bytes);
    }
  }
  return {};
}

void BinaryConv::Plan::conv_rows(int64_t first, int64_t last, int64_t* begin, int64_t* end) const {
  *begin = first;
  *end = last;
  if (!pooled) return;
  *begin = std::max<int64_t>(0, first * pool.window.stride_height - pool.window.pad_top);
  *end = std::min<int64_t>(shape.output_height, (last - 1) * pool.window.stride_height - pool.window.pad_top + pool.window.height);
}

std::string BinaryConv::Plan::cut_tasks(int threads) {
  // Bands: as many patches as make the reading of the weights cheap and as few as keep their sums in the cache; enough of them for
  // the threads to end together, if that leaves each enough patches.
  constexpr int64_t kMostPatches = 192, kLeastPatches = 48;
  rows = int64_t{shape.batch} * rows_per_image();
  const int64_t row_patches = int64_t{shape.output_width} * (pooled ? pool.window.stride_height : 1);
  band_rows = std::max<int64_t>(1, kMostPatches / row_patches);
  if (threads > 1) band_rows = std::min(band_rows, std::max(rows / (4 * threads), kLeastPatches / row_patches));
  band_rows = std::max<int64_t>(1, band_rows);
  bands = (rows + band_rows - 1) / band_rows;
  band_rows = (rows + bands - 1) / bands;
  bands = (rows + band_rows - 1) / band_rows;

  int64_t most_patches = 0, most_rows = 0;
  for (int64_t band = 0; band < bands; ++band) {
    int64_t patches = 0, input_rows = 0;
    pieces(band, [&](int64_t, int64_t first, int64_t last) {
      int64_t begin, end;
      conv_rows(first, last, &begin, &end);
      patches += (end - begin) * sums_width;
      input_rows += (end - begin - 1) * shape.window.stride_height + effective_height();
    });
    most_patches = std::max(most_patches, patches);
    most_rows = std::max(most_rows, input_rows);
  }

  // Chunks: two blocks, which the kernels multiply with several patches at a time; more if there are hardly any patches.
  const int32_t outputs = shape.channels_out / shape.groups, blocks = (outputs + kBlock - 1) / kBlock;
  const int32_t chunk_blocks = most_patches < 3 ? 4 : 2;
  const bool whole = shape.groups > 1 && outputs % 8 != 0;  // groups whose bits are not whole bytes: one chunk of everything
  for (int32_t group = 0; group < shape.groups; ++group) {
    for (int32_t block = 0; block < blocks; block += chunk_blocks) {
      const int32_t first = group * outputs + block * kBlock, taken = std::min(chunk_blocks, blocks - block);
      const int32_t channels = std::min(taken * kBlock, outputs - block * kBlock);
      if (chunks.empty() || !whole) chunks.push_back({first, 0, {}});
      Chunk& chunk = chunks.back();
      chunk.parts.push_back({group, taken, channels - (taken - 1) * kBlock, (int64_t{group} * blocks + block) * kBlock * k_bytes, first - chunk.first});
      chunk.channels += channels;
      sums_stride = std::max<int64_t>(sums_stride, first - chunk.first + taken * kBlock);
    }
  }
  const int64_t count = static_cast<int64_t>(chunks.size());
  chunks_per_task = count;
  while (threads > 1 && chunks_per_task > 1 && bands * ((count + chunks_per_task - 1) / chunks_per_task) < 4 * threads) {
    chunks_per_task = (chunks_per_task + 1) / 2;
  }
  chunk_tasks = (count + chunks_per_task - 1) / chunks_per_task;

  scratch.resize(static_cast<size_t>(threads));
  const int64_t window = pooled ? std::min<int64_t>(pool.window.height, shape.output_height) * std::min<int64_t>(pool.window.width, shape.output_width) : 0;
  for (Scratch& s : scratch) {
    const int64_t row = (padded_width + next_patch()) * pixel_bytes + kSlack;
    if (most_rows > kMostBandBytes / (padded_width * expanded_pixel) || sums_stride > (int64_t{1} << 31) / most_patches ||
        !s.row.allocate(row) || !s.input.allocate(most_rows * padded_width * expanded_pixel + kSlack) || !s.patches.allocate(most_patches) ||
        !s.sums.allocate(most_patches * sums_stride) || !s.pooled.allocate(pooled ? sums_stride : 0) || !s.window.allocate(window)) {
      return kNoMemory;
    }
  }
  return {};
}

}  // namespace bduo
