// Binary convolutions against the loop reference: every kernel and every output, over shapes swept around the widths of the kernels.
#include <cstdlib>
#include <cstring>

#include "kernels/cpu.h"
#include "kernels/dispatch.h"
#include "reference.h"

namespace bduo::test {
namespace {

enum class Padding { kValid, kSameOne, kSameZero };

struct Case {
  int32_t batch = 1, height = 5, width = 5, channels_in = 32, channels_out = 32, groups = 1;
  int32_t kernel_h = 3, kernel_w = 3, stride_h = 1, stride_w = 1, dilation_h = 1, dilation_w = 1;
  Padding padding = Padding::kSameOne;
  int32_t input_copies = 1;  // > 1: the input has the layout of so many copies

  std::string name() const {
    const char* paddings[] = {"valid", "same_one", "same_zero"};
    char text[200];
    std::snprintf(text, sizeof(text), "%dx%dx%dx%d_to_%d_kernel%dx%d_stride%dx%d_dilation%dx%d_groups%d_copies%d_%s", batch, height, width,
                  channels_in, channels_out, kernel_h, kernel_w, stride_h, stride_w, dilation_h, dilation_w, groups, input_copies,
                  paddings[static_cast<int>(padding)]);
    return text;
  }

  // False if such a convolution has no output.
  bool shape(ConvShape* s) const {
    *s = ConvShape();
    s->batch = batch, s->input_height = height, s->input_width = width;
    s->channels_in = channels_in, s->channels_out = channels_out, s->groups = groups;
    s->window.height = kernel_h, s->window.width = kernel_w;
    s->window.stride_height = stride_h, s->window.stride_width = stride_w;
    s->window.dilation_height = dilation_h, s->window.dilation_width = dilation_w;
    s->zero_padding = padding == Padding::kSameZero;
    const bool same = padding != Padding::kValid;
    return slide(height, kernel_h, stride_h, dilation_h, same, &s->output_height, &s->window.pad_top).ok() &&
           slide(width, kernel_w, stride_w, dilation_w, same, &s->output_width, &s->window.pad_left).ok();
  }
};

// Reads exactly its input and writes exactly its output: both stand in allocations of their own size, and the output's old contents,
// ones, must all go.
template <class T>
std::vector<T> run(BinaryConv& conv, const std::vector<int32_t>& input, ThreadPool& pool, const float* residual = nullptr) {
  std::vector<T> output(static_cast<size_t>(conv.output_bytes()) / sizeof(T));
  std::memset(static_cast<void*>(output.data()), 0xff, static_cast<size_t>(conv.output_bytes()));
  conv.run(input.data(), output.data(), pool, residual);
  return output;
}

void check_case(const Case& c, uint64_t seed, ThreadPool& pool, Checks& checks) {
  ConvShape s;
  if (!c.shape(&s)) return;
  Random random(seed);
  const ChannelLayout layout =
      c.input_copies == 1 ? ChannelLayout::packed(s.channels_in) : ChannelLayout::copied(c.input_copies, s.channels_in / c.input_copies);
  const std::vector<int8_t> signs = random_signs(int64_t{s.batch} * s.input_height * s.input_width * s.channels_in, random);
  const std::vector<int8_t> filter = random_signs(s.channels_out * s.depth(), random);
  const std::vector<int32_t> input = to_bits(signs, layout);
  std::vector<int32_t> packed = to_bits(filter, ChannelLayout::packed(s.channels_in / s.groups));
  const ConvDefinition definition{s, layout, packed.data(), static_cast<int64_t>(packed.size())};
  const std::vector<int32_t> dots = dot_products(s, signs, filter);
  const size_t channels = static_cast<size_t>(s.channels_out);

  FloatStage floats{random.one_of({Activation::kNone, Activation::kRelu, Activation::kRelu1, Activation::kRelu6}), {}, {}};
  Int8Stage int8{floats.activation, {}, {}, 0.25f + std::fabs(random.real()), random.between(-128, 127)};
  for (size_t i = 0; i < channels; ++i) {
    floats.multiplier.push_back(random.real());
    floats.bias.push_back(random.real() * 30);
  }
  int8.multiplier = floats.multiplier;
  int8.bias = floats.bias;
  std::vector<float> residual(dots.size());
  for (float& x : residual) x = random.real();

  const int32_t reach = static_cast<int32_t>(std::sqrt(static_cast<double>(s.depth()))) + 1;
  CompareStage compare;
  compare.copies = random.between(1, 3);
  compare.pooled = random.coin();
  if (compare.pooled) {
    PoolShape& p = compare.pool;
    p.batch = s.batch, p.input_height = s.output_height, p.input_width = s.output_width;
    const bool same = random.coin();
    p.window.height = random.between(1, std::min(3, s.output_height)), p.window.width = random.between(1, std::min(3, s.output_width));
    p.window.stride_height = random.between(1, 3), p.window.stride_width = random.between(1, 3);
    checks.that(slide(p.input_height, p.window.height, p.window.stride_height, 1, same, &p.output_height, &p.window.pad_top).ok() &&
                    slide(p.input_width, p.window.width, p.window.stride_width, 1, same, &p.output_width, &p.window.pad_left).ok(),
                "pool of " + c.name());
  }
  for (size_t i = 0; i < channels; ++i) compare.negated.push_back(random.coin());
  for (size_t i = 0; i < channels * static_cast<size_t>(compare.copies); ++i) {
    compare.threshold.push_back(random.between(0, 19) == 0 ? random.one_of({INT32_MIN, INT32_MAX}) : random.between(-reach, reach));
    compare.inverted.push_back(random.coin());
  }
  std::vector<int32_t> signed_dots = dots;
  for (size_t i = 0; i < signed_dots.size(); ++i) signed_dots[i] *= compare.negated[i % channels] != 0 ? -1 : 1;
  if (compare.pooled) signed_dots = max_pooled(compare.pool, s.channels_out, signed_dots);
  const size_t copies = static_cast<size_t>(compare.copies);
  std::vector<int8_t> below;
  for (size_t i = 0; i < signed_dots.size(); i += channels) {
    for (size_t j = 0; j < copies * channels; ++j) {
      below.push_back((signed_dots[i + j % channels] < compare.threshold[j]) != (compare.inverted[j] != 0) ? -1 : 1);
    }
  }
  const std::vector<int32_t> compared = to_bits(below, ChannelLayout::copied(compare.copies, s.channels_out));

  std::vector<int32_t> lce_thresholds;
  for (size_t i = 0; i < channels; ++i) lce_thresholds.push_back(static_cast<int32_t>(s.depth() / 2) + random.between(-reach, reach));
  std::vector<int8_t> lce_signs;
  for (size_t i = 0; i < dots.size(); ++i) lce_signs.push_back(s.depth() - dots[i] > 2 * lce_thresholds[i % channels] ? -1 : 1);

  for (const Kernel<BitGemm>& row : bit_gemms()) {
    if (!has(cpu_features(), row.needs)) continue;
    const char* kernel = row.name;
    const std::string where = c.name() + " seed " + std::to_string(seed) + " " + kernel;
    BinaryConv conv;
    Status status = conv.prepare(definition, floats, pool.threads(), kernel);
    checks.that(status.ok(), where + " float: " + status.text());
    if (!status.ok()) continue;
    checks.that(conv.input_bytes() == static_cast<int64_t>(input.size()) * 4, where + " input size");
    std::vector<float> plain = run<float>(conv, input, pool), added = run<float>(conv, input, pool, residual.data());
    std::vector<float> in_place = residual;
    conv.run(input.data(), in_place.data(), pool, in_place.data());
    bool plain_equal = plain.size() == dots.size(), added_equal = plain_equal;
    for (size_t i = 0; i < dots.size() && plain_equal; ++i) {
      const float y = transformed(dots[i], floats.activation, s.depth(), floats.multiplier[i % channels], floats.bias[i % channels], 1, 0);
      plain_equal = plain[i] == y;
      added_equal = added_equal && added[i] == y + residual[i];
    }
    checks.that(plain_equal, where + " float");
    checks.that(added_equal, where + " float with residual");
    checks.that(in_place == added, where + " float with residual in place");

    status = conv.prepare(definition, int8, pool.threads(), kernel);
    checks.that(status.ok(), where + " int8: " + status.text());
    const std::vector<int8_t> bytes = run<int8_t>(conv, input, pool);
    bool int8_equal = bytes.size() == dots.size();
    for (size_t i = 0; i < dots.size() && int8_equal; ++i) {
      int8_equal = bytes[i] == rounded_int8(transformed(dots[i], int8.activation, s.depth(), int8.multiplier[i % channels],
                                                        int8.bias[i % channels], int8.scale, int8.zero_point));
    }
    checks.that(int8_equal, where + " int8");

    status = conv.prepare(definition, compare, pool.threads(), kernel);
    checks.that(status.ok(), where + " compared: " + status.text());
    checks.that(run<int32_t>(conv, input, pool) == compared,
                where + " compared, copies " + std::to_string(compare.copies) + (compare.pooled ? " pooled" : ""));

    status = conv.prepare(definition, CompareStage::from_lce_thresholds(s, lce_thresholds.data()), pool.threads(), kernel);
    checks.that(status.ok(), where + " bits: " + status.text());
    checks.that(run<int32_t>(conv, input, pool) == to_bits(lce_signs, ChannelLayout::packed(s.channels_out)), where + " bits");
  }
}

int main_of_test(int scale) {
  Checks checks;
  checks.that(cpu_status().ok(), cpu_status().text());
  ThreadPool one(1), three(3);
  uint64_t seed = 0;
  for (const Kernel<BitGemm>& row : bit_gemms()) {
    if (!has(cpu_features(), row.needs)) std::printf("SKIPPED %s: not on this machine\n", row.name);
  }

  // Every number of channels around every width, in and out.
  for (int32_t channels = 1; channels <= 200; channels += scale) {
    Case c;
    c.height = 3, c.width = 4, c.kernel_h = c.kernel_w = 2;
    c.channels_in = channels;
    c.channels_out = 40;
    check_case(c, ++seed, one, checks);
    c.channels_out = channels;
    c.channels_in = 24;
    check_case(c, ++seed, three, checks);
  }
  // Every number of patches around the tiles, down to one.
  for (int32_t width = 1; width <= 20; ++width) {
    for (int32_t outputs : {1, 32, 33, 64, 96, 100, 128, 160, 300}) {
      Case c;
      c.height = 1, c.width = width, c.kernel_h = c.kernel_w = 1, c.channels_in = 65, c.channels_out = outputs;
      check_case(c, ++seed, width % 2 == 0 ? one : three, checks);
    }
  }
  // K beyond what 8 and 16 bits hold, also with every bit different (the seed draws signs; the largest sum is near K / 2).
  for (int32_t channels : {62, 63, 248, 256, 2048, 16384, 65535, 65536, 70001}) {
    Case c;
    c.height = c.width = 3, c.channels_in = channels, c.channels_out = 5, c.padding = Padding::kValid;
    if (channels > 16384) c.kernel_h = c.kernel_w = 1, c.height = 1, c.width = 2;
    check_case(c, ++seed, one, checks);
  }
  // Anything.
  Random random(12345);
  for (int i = 0; i < 4000 / scale; ++i) {
    Case c;
    c.batch = random.between(1, 3);
    c.height = random.between(1, 12), c.width = random.between(1, 12);
    c.kernel_h = random.between(1, 7), c.kernel_w = random.between(1, 7);
    c.stride_h = random.between(1, 3), c.stride_w = random.between(1, 3);
    c.dilation_h = random.one_of({1, 1, 2, 3}), c.dilation_w = random.one_of({1, 1, 2, 3});
    c.padding = random.one_of({Padding::kValid, Padding::kSameOne, Padding::kSameZero});
    c.groups = random.one_of({1, 1, 1, 2, 3});
    c.channels_in = c.groups > 1 ? c.groups * 32 * random.between(1, 2) : random.between(1, 100);
    c.channels_out = c.groups * random.between(1, 40);
    if (c.groups == 1 && random.coin()) c.input_copies = random.between(2, 3), c.channels_in = c.input_copies * random.between(1, 40);
    check_case(c, ++seed, random.coin() ? one : three, checks);
  }

  // All bits different: the greatest sum there is.
  for (int32_t channels : {64, 2048, 66000}) {
    ConvShape s;
    s.input_height = s.input_width = s.output_height = s.output_width = 1, s.channels_in = channels, s.channels_out = 3;
    const ChannelLayout layout = ChannelLayout::packed(channels);
    const std::vector<int32_t> input = to_bits(std::vector<int8_t>(static_cast<size_t>(channels), -1), layout);
    const std::vector<int32_t> filter(static_cast<size_t>(layout.words) * 3);
    for (const Kernel<BitGemm>& row : bit_gemms()) {
      if (!has(cpu_features(), row.needs)) continue;
      BinaryConv conv;
      const Status status = conv.prepare({s, layout, filter.data(), static_cast<int64_t>(filter.size())},
                                         FloatStage{Activation::kNone, {1, 1, 1}, {0, 0, 0}}, 1, row.name);
      checks.that(status.ok() && run<float>(conv, input, one) == std::vector<float>(3, static_cast<float>(-channels)), "greatest sum");
    }
  }
  return checks.finish("conv_test");
}

}  // namespace
}  // namespace bduo::test

// An argument divides the number of shapes, for slow builds.
int main(int argc, char** argv) { return bduo::test::main_of_test(argc > 1 ? std::max(1, std::atoi(argv[1])) : 1); }
