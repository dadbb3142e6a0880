// Measures multiply-adds a nanosecond of kernels, side by side in one run: as bare GEMMs and as whole convolutions, with the limits of the
// core.
//
//   bench_conv [threads [kernel ...]]     without names, all kernels that this machine can run
//
// Limits are measured here too, in the same run: the clock by a chain of additions, then how often in a cycle the core can start the
// instructions that the best kernel cannot do without: with AVX2 for 3 look-ups, 768 multiply-adds, 3 vpshufb, 4 vpaddb, a shift and an
// and; with AVX-512 for 512 of them vpxord, vpopcntd and vpaddd. That is the roof. Of a convolution the last columns say what share of the
// roof it reaches, and what share of the multiply-adds is for its own outputs and bits (outputs are done 32 or 16 at a time, bits 8).
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <vector>

#include "conv/binary_conv.h"
#include "kernels/cpu.h"
#include "kernels/dispatch.h"

namespace bduo {
namespace {

double now() { return std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

// Median nanoseconds of a call, the calls of all candidates interleaved so that all see the same machine.
std::vector<double> medians(const std::vector<std::function<void()>>& candidates) {
  constexpr int kRounds = 15;
  constexpr double kRoundNanoseconds = 2e6;
  std::vector<int> repeats;
  for (const auto& call : candidates) {
    call();
    const double start = now();
    call();
    repeats.push_back(static_cast<int>(std::max(1.0, kRoundNanoseconds / std::max(now() - start, 1.0))));
  }
  std::vector<std::vector<double>> times(candidates.size());
  for (int round = 0; round < kRounds; ++round) {
    for (size_t i = 0; i < candidates.size(); ++i) {
      const double start = now();
      for (int j = 0; j < repeats[i]; ++j) candidates[i]();
      times[i].push_back((now() - start) / repeats[i]);
    }
  }
  std::vector<double> result;
  for (auto& t : times) {
    std::sort(t.begin(), t.end());
    result.push_back(t[t.size() / 2]);
  }
  return result;
}

#if defined(__x86_64__) && defined(__GNUC__)
#define BDUO_REPEAT8(x) x x x x x x x x
void additions(long n) { asm volatile("1:\n" BDUO_REPEAT8("add $1, %%rax\n") "dec %0\njnz 1b" : "+r"(n) : : "rax"); }
void shuffles(long n) {
  asm volatile(
      "1:\n vpshufb %%ymm1,%%ymm0,%%ymm2\n vpshufb %%ymm1,%%ymm0,%%ymm3\n vpshufb %%ymm1,%%ymm0,%%ymm4\n vpshufb %%ymm1,%%ymm0,%%ymm5\n"
      "vpshufb %%ymm1,%%ymm0,%%ymm6\n vpshufb %%ymm1,%%ymm0,%%ymm7\n vpshufb %%ymm1,%%ymm0,%%ymm8\n vpshufb %%ymm1,%%ymm0,%%ymm9\n"
      "dec %0\n jnz 1b\n vzeroupper"
      : "+r"(n)
      :
      : "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9");
}
void lookups(long n) {  // three look-ups of two patches, their results independent of each other
  asm volatile(
      "1:\n vpshufb %%ymm1,%%ymm0,%%ymm2\n vpaddb %%ymm1,%%ymm0,%%ymm3\n vpshufb %%ymm1,%%ymm0,%%ymm4\n vpaddb %%ymm1,%%ymm0,%%ymm5\n"
      "vpshufb %%ymm1,%%ymm0,%%ymm6\n vpaddb %%ymm1,%%ymm0,%%ymm7\n vpsrlw $4,%%ymm0,%%ymm8\n vpand %%ymm1,%%ymm0,%%ymm9\n"
      "vpaddb %%ymm1,%%ymm0,%%ymm10\n dec %0\n jnz 1b\n vzeroupper"
      : "+r"(n)
      :
      : "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10");
}

void counts(long n) {  // three times 512 multiply-adds, as independent
  asm volatile(
      "1:\n vpxord %%zmm1,%%zmm0,%%zmm2\n vpopcntd %%zmm1,%%zmm3\n vpaddd %%zmm1,%%zmm0,%%zmm4\n vpxord %%zmm1,%%zmm0,%%zmm5\n"
      "vpopcntd %%zmm1,%%zmm6\n vpaddd %%zmm1,%%zmm0,%%zmm7\n vpxord %%zmm1,%%zmm0,%%zmm8\n vpopcntd %%zmm1,%%zmm9\n"
      "vpaddd %%zmm1,%%zmm0,%%zmm10\n dec %0\n jnz 1b\n vzeroupper"
      : "+r"(n)
      :
      : "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10");
}

// Multiply-adds a nanosecond, 0 where there is no such kernel.
double print_limits() {
  constexpr long kLoops = 20000;
  if (has(cpu_features(), kAvx512)) {
    const std::vector<double> ns = medians({[] { additions(kLoops); }, [] { counts(kLoops); }});
    const double roof = kLoops / ns[1] * 3 * 512;
    std::printf("clock %.2f GHz; roof of xor, vpopcntd and addition: %.0f multiply-adds a nanosecond\n\n", 8 * kLoops / ns[0], roof);
    return roof;
  }
  if (!has(cpu_features(), kAvx2)) return 0;
  const std::vector<double> ns = medians({[] { additions(kLoops); }, [] { shuffles(kLoops); }, [] { lookups(kLoops); }});
  const double cycle = ns[0] / (8 * kLoops);
  const double roof = kLoops / ns[2] * 768;
  std::printf("clock %.2f GHz; a cycle starts %.2f vpshufb, or %.2f look-ups with what belongs to them\n", 1 / cycle,
              8 * kLoops / ns[1] * cycle, 3 * kLoops / ns[2] * cycle);
  std::printf("roof of the table look-up: %.0f multiply-adds a nanosecond\n\n", roof);
  return roof;
}
#else
double print_limits() { return 0; }
#endif

using Kernels = std::vector<const Kernel<BitGemm>*>;

// Those that are named, or all that this machine can run.
Status choose_kernels(const std::vector<const char*>& names, Kernels* kernels) {
  for (const char* name : names) {
    const Kernel<BitGemm>* kernel = nullptr;
    if (Status status = find_bit_gemm(name, cpu_features(), &kernel); !status.ok()) return status;
    kernels->push_back(kernel);
  }
  if (!names.empty()) return Status();
  for (const Kernel<BitGemm>& kernel : bit_gemms()) {
    if (has(cpu_features(), kernel.needs)) kernels->push_back(&kernel);
  }
  return Status();
}

void print_row(const char* name, double macs, const std::vector<double>& ns) {
  std::printf("%-34s", name);
  for (double t : ns) std::printf(" %10.1f", macs / t);
  std::printf("   %8.1f us", ns[0] / 1e3);
}

void bench_gemms(const Kernels& kernels) {
  struct Size {
    int64_t patches, outputs, bits;
  };
  for (const Size& size : {Size{192, 64, 576}, Size{192, 64, 864}, Size{192, 192, 1728}, Size{192, 384, 3456}, Size{49, 512, 4608},
                           Size{1, 512, 4608}, Size{1, 352, 2880}, Size{192, 256, 64}}) {
    const int64_t bytes = size.bits / 8, blocks = (size.outputs + kBlock - 1) / kBlock;
    std::vector<std::function<void()>> calls;
    for (const Kernel<BitGemm>* row : kernels) {
      const BitGemm* kernel = row->code;
      std::vector<Run> runs;
      for (int64_t k = 0; k < bytes;) {
        const int64_t take = std::min<int64_t>(bytes - k, kernel->flush_bytes);
        runs.push_back({static_cast<int32_t>(k * kernel->expansion), static_cast<int32_t>(take), 1});
        k += take;
      }
      const int64_t patch_bytes = bytes * kernel->expansion, calls_patches = (size.patches + kernel->patches - 1) / kernel->patches;
      std::vector<uint8_t> bits(static_cast<size_t>((size.patches + 1) * bytes + kSlack));
      std::vector<uint8_t> input(static_cast<size_t>(size.patches * patch_bytes + kSlack));
      std::vector<uint8_t> weights(static_cast<size_t>(blocks * kBlock * bytes));
      for (size_t i = 0; i < bits.size(); ++i) bits[i] = static_cast<uint8_t>(i * 37 + i / 251);
      for (size_t i = 0; i < weights.size(); ++i) weights[i] = static_cast<uint8_t>(i * 59 + i / 257);
      kernel->expand(bits.data(), size.patches * bytes, bytes, input.data());
      calls.push_back([=, runs = std::move(runs), input = std::move(input), weights = std::move(weights),
                       sums = std::vector<int32_t>(static_cast<size_t>((size.patches + 1) * 4 * kBlock))]() mutable {
        std::vector<const uint8_t*> patches;
        for (int64_t p = 0; p < size.patches; p += kernel->patches) patches.push_back(input.data() + p * patch_bytes);
        const int64_t chunk = size.patches == 1 ? 4 : 2;  // blocks that convolutions take together
        GemmCall call{};
        call.patches = patches.data();
        call.patch_count = calls_patches;
        call.runs = runs.data();
        call.run_count = static_cast<int64_t>(runs.size());
        call.block_stride = bytes * kBlock;
        call.last_outputs = kBlock;
        call.sums = sums.data();
        call.sum_stride = 4 * kBlock;
        for (int64_t block = 0; block < blocks; block += chunk) {
          call.weights = weights.data() + block * call.block_stride;
          call.blocks = static_cast<int32_t>(std::min(chunk, blocks - block));
          kernel->gemm(call);
        }
      });
    }
    char name[80];
    std::snprintf(name, sizeof(name), "gemm %lld x %lld x %lld", static_cast<long long>(size.patches), static_cast<long long>(size.outputs),
                  static_cast<long long>(size.bits));
    print_row(name, static_cast<double>(size.patches * size.outputs * size.bits), medians(calls));
    std::printf("\n");
  }
}

struct Layer {
  const char* name;
  int32_t size, channels, copies, kernel, stride, outputs;
  bool valid, pooled, bits;
};

// The layers with quantized activations, decoupled: the input has two copies of each channel.
const Layer kLayers[] = {
    {"vgg7 conv2 + pool, to bits", 32, 45, 2, 3, 1, 45, false, true, true},
    {"vgg7 conv3 + pool, to bits", 16, 45, 2, 3, 1, 90, false, true, true},
    {"vgg7 conv4 + pool, to bits", 8, 90, 2, 3, 1, 90, false, true, true},
    {"vgg7 conv5, to bits", 4, 90, 2, 4, 1, 336, true, false, true},
    {"vgg7 conv6, to floats", 1, 336, 2, 1, 1, 512, true, false, false},
    {"resnet18 stage 1, to floats", 56, 64, 2, 3, 1, 64, false, false, false},
    {"resnet18 stage 2 first, to floats", 56, 64, 2, 3, 2, 90, false, false, false},
    {"resnet18 stage 2, to floats", 28, 90, 2, 3, 1, 90, false, false, false},
    {"resnet18 stage 3, to floats", 14, 180, 2, 3, 1, 180, false, false, false},
    {"resnet18 stage 4, to floats", 7, 360, 2, 3, 1, 360, false, false, false},
    {"resnet18 last, to floats", 7, 360, 2, 3, 1, 512, false, false, false},
    {"256 channels 14x14, to bits", 14, 256, 1, 3, 1, 256, false, false, true},
    {"512 channels 7x7, to bits", 7, 512, 1, 3, 1, 512, false, false, true},
};

// The share of the multiply-adds that are for outputs and bits that there are.
double used(const Layer& layer) {
  const int32_t rest = layer.outputs % kBlock, done = layer.outputs - rest + (rest == 0 ? 0 : rest <= kBlock / 2 ? kBlock / 2 : kBlock);
  return static_cast<double>(layer.outputs) / done * layer.channels / ((layer.channels + 7) / 8 * 8);
}

void bench_layers(const Kernels& kernels, double roof, ThreadPool& pool) {
  for (const Layer& layer : kLayers) {
    ConvShape s;
    s.input_height = s.input_width = layer.size;
    s.channels_in = layer.channels * layer.copies, s.channels_out = layer.outputs;
    s.window.height = s.window.width = layer.kernel, s.window.stride_height = s.window.stride_width = layer.stride;
    Status slid = slide(layer.size, layer.kernel, layer.stride, 1, !layer.valid, &s.output_height, &s.window.pad_top);
    if (slid.ok()) slid = slide(layer.size, layer.kernel, layer.stride, 1, !layer.valid, &s.output_width, &s.window.pad_left);
    const ChannelLayout layout = ChannelLayout::copied(layer.copies, layer.channels);
    std::vector<int32_t> filter(static_cast<size_t>(s.channels_out * layer.kernel * layer.kernel * ((s.channels_in + 31) / 32)));
    for (size_t i = 0; i < filter.size(); ++i) filter[i] = static_cast<int32_t>(i * 2654435761u);
    FloatStage floats{Activation::kNone, std::vector<float>(static_cast<size_t>(s.channels_out), 1.0f),
                      std::vector<float>(static_cast<size_t>(s.channels_out), 1.0f)};
    CompareStage compare;
    compare.copies = 2;
    compare.threshold.resize(static_cast<size_t>(2 * s.channels_out));
    compare.pooled = layer.pooled;
    compare.pool.input_height = s.output_height, compare.pool.input_width = s.output_width;
    compare.pool.window.height = compare.pool.window.width = compare.pool.window.stride_height = compare.pool.window.stride_width = 2;
    compare.pool.output_height = s.output_height / 2, compare.pool.output_width = s.output_width / 2;

    std::vector<BinaryConv> convs(kernels.size());
    std::vector<std::function<void()>> calls;
    std::vector<int32_t> input, output;
    for (size_t i = 0; i < kernels.size(); ++i) {
      const ConvDefinition definition{s, layout, filter.data(), static_cast<int64_t>(filter.size())};
      const Status status = layer.bits ? convs[i].prepare(definition, compare, pool.threads(), kernels[i]->name)
                                       : convs[i].prepare(definition, floats, pool.threads(), kernels[i]->name);
      if (!slid.ok() || !status.ok()) {
        std::printf("%s: %s%s\n", layer.name, slid.text().c_str(), status.text().c_str());
        return;
      }
      input.resize(static_cast<size_t>(convs[i].input_bytes() / 4), 0x5a5a5a5a);
      output.resize(static_cast<size_t>(convs[i].output_bytes() / 4));
      calls.push_back([&, i] { convs[i].run(input.data(), output.data(), pool); });
    }
    const std::vector<double> ns = medians(calls);
    const double best = *std::min_element(ns.begin(), ns.end());
    print_row(layer.name, static_cast<double>(s.macs()), ns);
    if (roof > 0) std::printf(" %6.0f %% %6.0f %%", 100 * static_cast<double>(s.macs()) / best / roof / pool.threads(), 100 * used(layer));
    std::printf("\n");
  }
}

}  // namespace
}  // namespace bduo

int main(int argc, char** argv) {
  using namespace bduo;
  Kernels kernels;
  Status status = cpu_status();
  if (status.ok()) status = choose_kernels({argv + std::min(argc, 2), argv + argc}, &kernels);
  if (!status.ok()) {
    std::fprintf(stderr, "%s\n", status.text().c_str());
    return 1;
  }
  ThreadPool pool(argc > 1 ? std::atoi(argv[1]) : 1);
  const double roof = print_limits();
  std::printf("multiply-adds a nanosecond; %d threads for convolutions; the time is the first kernel's\n%-34s", pool.threads(), "");
  for (const Kernel<BitGemm>* kernel : kernels) std::printf(" %10s", kernel->name);
  std::printf("%14s%9s%9s\n", "time", "of roof", "used");
  bench_gemms(kernels);
  bench_layers(kernels, roof, pool);
}
