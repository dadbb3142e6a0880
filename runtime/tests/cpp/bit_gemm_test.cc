// Checks every bit GEMM of the list against its contract (kernels/bit_gemm.h) by plain loops over bytes: activations are expanded, weights
// packed and both multiplied, over numbers of patches, outputs and lengths of K swept around the widths of all instruction sets.
#include "kernels/bit_gemm.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "check.h"
#include "kernels/cpu.h"
#include "kernels/dispatch.h"

namespace bduo::test {
namespace {

constexpr int32_t kUntouched = 0x5a5a5a5a;

struct Size {
  int64_t patches;  // GemmCall::patch_count
  int32_t outputs;
  int64_t k_units;  // of BitGemm::align bytes
};

int32_t differing(const uint8_t* a, const uint8_t* b, int64_t bytes) {
  int32_t sum = 0;
  for (int64_t i = 0; i < bytes; ++i) {
    for (int different = a[i] ^ b[i]; different != 0; different &= different - 1) ++sum;
  }
  return sum;
}

// K of a patch lies in pieces anywhere in the activations, as the rows of a window do; a kernel is called for a span of them at a time.
struct Cut {
  std::vector<Run> runs;
  std::vector<size_t> spans;  // where each call's runs begin, and the end
};

Cut cut_at_random(const BitGemm& kernel, int64_t k_bytes, int64_t patch_bytes, Random& random) {
  Cut cut;
  int64_t held = 0, in_span = 0;
  for (int64_t k = 0; k < k_bytes;) {
    if (in_span == 0) cut.spans.push_back(cut.runs.size());
    const int64_t room = std::min({kernel.flush_bytes - held, kSpanBytes - in_span, k_bytes - k}) / kernel.align;
    // Half of the runs take all that they may.
    const int64_t units = random.coin() ? room : random.between(1, static_cast<int32_t>(room)), bytes = units * kernel.align;
    const int64_t start = random.between(0, static_cast<int32_t>((patch_bytes - bytes) / kernel.align)) * kernel.align;
    k += bytes, held += bytes, in_span += bytes;
    const bool span_full = kSpanBytes - in_span < kernel.align || k == k_bytes;
    const bool flush = span_full || kernel.flush_bytes - held < kernel.align || random.between(0, 3) == 0;
    cut.runs.push_back({static_cast<int32_t>(start * kernel.expansion), static_cast<int32_t>(bytes), flush ? 1 : 0});
    if (flush) held = 0;
    if (span_full) in_span = 0;
  }
  cut.spans.push_back(cut.runs.size());
  return cut;
}

enum class Bits { kRandom, kAllDifferent };

void check_size(const Kernel<BitGemm>& row, const Size& size, Bits bits, uint64_t seed, Checks& checks) {
  const BitGemm& kernel = *row.code;
  Random random(seed);
  const std::string where = std::string(row.name) + " patches " + std::to_string(size.patches) + " outputs " +
                            std::to_string(size.outputs) + " K " + std::to_string(size.k_units * kernel.align);
  const int64_t k_bytes = size.k_units * kernel.align;
  const auto fill = [&](std::vector<uint8_t>& bytes, uint8_t value) {
    for (uint8_t& byte : bytes) byte = bits == Bits::kRandom ? static_cast<uint8_t>(random.next()) : value;
  };

  // Patches begin anywhere in one stretch of activations, and those beside them `next` bytes on.
  const int64_t patch_bytes = std::min<int64_t>(k_bytes, kSpanBytes / kernel.align * kernel.align) + random.between(0, 3) * kernel.align;
  const int64_t group = random.between(0, 2) * kernel.align, next = random.between(1, 40) * kernel.align;
  const int64_t starts = random.between(0, 30);
  const int64_t count = starts * kernel.align + group + patch_bytes;
  std::vector<uint8_t> activations(static_cast<size_t>(count + next + kSlack));
  fill(activations, 0xff);
  std::vector<uint8_t> expanded(static_cast<size_t>(count * kernel.expansion + kSlack));
  kernel.expand(activations.data(), count, next, expanded.data());
  std::vector<int64_t> start;
  std::vector<const uint8_t*> patches;
  for (int64_t p = 0; p < size.patches; ++p) {
    start.push_back(int64_t{random.between(0, static_cast<int32_t>(starts))} * kernel.align);
    patches.push_back(expanded.data() + start.back() * kernel.expansion);
  }

  // Packing a block writes exactly its bytes.
  const int32_t blocks = (size.outputs + kBlock - 1) / kBlock, last_outputs = size.outputs - (blocks - 1) * kBlock;
  const int64_t block_bytes = kBlock * k_bytes;
  std::vector<uint8_t> rows(static_cast<size_t>(size.outputs * k_bytes));
  fill(rows, 0);
  const int64_t block_stride = block_bytes + 64 * random.between(0, 1);
  std::vector<uint8_t> packed(static_cast<size_t>(blocks * block_stride), 0x5a);
  for (int32_t block = 0; block < blocks; ++block) {
    const int32_t lanes = block + 1 == blocks ? last_outputs : kBlock;
    std::vector<uint8_t> block_rows(static_cast<size_t>(block_bytes));
    std::memcpy(block_rows.data(), rows.data() + block * kBlock * k_bytes, static_cast<size_t>(lanes * k_bytes));
    uint8_t* out = packed.data() + block * block_stride;
    kernel.pack(block_rows.data(), k_bytes, lanes, out);
    checks.that(std::all_of(out + block_bytes, out + block_stride, [](uint8_t byte) { return byte == 0x5a; }),
                where + " pack writes too much");
  }

  const Cut cut = cut_at_random(kernel, k_bytes, patch_bytes, random);
  const int64_t sum_stride = blocks * kBlock + random.between(0, 2) * 8, sum_rows = size.patches * kernel.patches;
  std::vector<int32_t> sums(static_cast<size_t>((sum_rows + 1) * sum_stride), kUntouched);
  GemmCall call{};
  call.patches = patches.data();
  call.patch_count = size.patches;
  call.patch_offset = group * kernel.expansion;
  call.block_stride = block_stride;
  call.blocks = blocks;
  call.last_outputs = last_outputs;
  call.sums = sums.data();
  call.sum_stride = sum_stride;
  int64_t k = 0;
  for (size_t span = 0; span + 1 < cut.spans.size(); ++span) {
    call.runs = cut.runs.data() + cut.spans[span];
    call.run_count = static_cast<int64_t>(cut.spans[span + 1] - cut.spans[span]);
    call.weights = packed.data() + k * kBlock;
    call.accumulate = span > 0;
    kernel.gemm(call);
    for (int64_t i = 0; i < call.run_count; ++i) k += call.runs[i].bytes;
  }
  checks.that(k == k_bytes, where + " is cut whole");

  bool equal = true, inside = true;
  for (int64_t p = 0; p < sum_rows; ++p) {
    const uint8_t* patch = activations.data() + start[static_cast<size_t>(p / kernel.patches)] + group + p % kernel.patches * next;
    const int32_t* row_sums = sums.data() + p * sum_stride;
    for (int32_t output = 0; output < size.outputs; ++output) {
      const uint8_t* weights = rows.data() + output * k_bytes;
      int32_t sum = 0;
      for (const Run& run : cut.runs) {
        sum += differing(patch + run.offset / kernel.expansion, weights, run.bytes);
        weights += run.bytes;
      }
      equal = equal && row_sums[output] == sum && (bits == Bits::kRandom || sum == 8 * k_bytes);
    }
    inside = inside && std::all_of(row_sums + blocks * kBlock, row_sums + sum_stride, [](int32_t sum) { return sum == kUntouched; });
  }
  inside = inside && std::all_of(sums.end() - sum_stride, sums.end(), [](int32_t sum) { return sum == kUntouched; });
  checks.that(equal, where);
  checks.that(inside, where + " writes beyond its sums");
}

void check_kernel(const Kernel<BitGemm>& row, int step, Checks& checks) {
  const BitGemm& kernel = *row.code;
  checks.that((kernel.patches == 1 || kernel.patches == 2) && (kernel.align == 1 || kernel.align == 4) && kernel.expansion >= 1 &&
                  kernel.flush_bytes >= kernel.align,
              std::string(row.name) + " is what convolutions can use");
  uint64_t seed = 0;
  // Swept are numbers of outputs around every number of lanes and every tile of blocks, then numbers of patches, then lengths of K.
  for (int32_t outputs = 1; outputs <= 140; outputs += step) {
    for (int64_t patches : {1, 2, 3, 4, 7, 8}) check_size(row, {patches, outputs, 5}, Bits::kRandom, ++seed, checks);
  }
  for (int64_t patches = 1; patches <= 20; ++patches) {
    for (int32_t outputs : {1, 8, 16, 17, 32, 33, 48, 64, 96, 112, 128, 256, 300}) {
      if (++seed % static_cast<uint64_t>(step) == 0) check_size(row, {patches, outputs, 9}, Bits::kRandom, seed, checks);
    }
  }
  for (int64_t k_units = 1; k_units <= 130; k_units += step) {
    for (int32_t outputs : {9, 20, 50, 64}) check_size(row, {1 + k_units % 9, outputs, k_units}, Bits::kRandom, ++seed, checks);
  }
  // These have more K than 16-bit sums can hold, and the greatest sums that there are, around what a flush and a span hold.
  const int64_t flush = std::min<int64_t>(kernel.flush_bytes, 64) / kernel.align, span = kSpanBytes / kernel.align;
  for (int64_t k_units : {flush - 1, flush, flush + 1, 2 * flush, span - 1, span, span + 1, 2 * span + 3}) {
    if (k_units < 1) continue;
    check_size(row, {3, 18, k_units}, Bits::kRandom, ++seed, checks);
    for (int64_t patches : {1, 5}) check_size(row, {patches, 33, k_units}, Bits::kAllDifferent, ++seed, checks);
  }
}

int main_of_test(int step) {
  Checks checks;
  checks.that(cpu_status().ok(), cpu_status().text());
  for (const Kernel<BitGemm>& row : bit_gemms()) {
    if (has(cpu_features(), row.needs)) {
      check_kernel(row, step, checks);
    } else {
      std::printf("SKIPPED %s: not on this machine\n", row.name);
    }
  }
  return checks.finish("bit_gemm_test");
}

}  // namespace
}  // namespace bduo::test

// An argument divides the number of sizes, for slow builds.
int main(int argc, char** argv) { return bduo::test::main_of_test(argc > 1 ? std::max(1, std::atoi(argv[1])) : 1); }
