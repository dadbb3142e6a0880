// What a file may say wrong is refused with a text, and layouts and output sizes are those of TFLite.
#include "conv/shape.h"

#include <functional>
#include <limits>
#include <vector>

#include "check.h"
#include "conv/binary_conv.h"

namespace bduo::test {
namespace {

ConvShape good_shape() {
  ConvShape s;
  s.input_height = s.input_width = s.output_height = s.output_width = 4;
  s.channels_in = 64, s.channels_out = 8;
  s.window.height = s.window.width = 3, s.window.pad_top = s.window.pad_left = 1;
  return s;
}

int main_of_test() {
  Checks checks;
  constexpr int32_t kHuge = std::numeric_limits<int32_t>::max(), kLeast = std::numeric_limits<int32_t>::min();
  checks.that(good_shape().validate().ok(), "a good shape");

  int32_t ConvShape::* const sizes[] = {&ConvShape::batch,        &ConvShape::input_height,  &ConvShape::input_width,
                                        &ConvShape::channels_in,  &ConvShape::output_height, &ConvShape::output_width,
                                        &ConvShape::channels_out, &ConvShape::groups};
  for (auto size : sizes) {
    for (int32_t bad : {0, -1, kHuge, kLeast}) {
      ConvShape s = good_shape();
      s.*size = bad;
      checks.that(!s.validate().ok(), "a size of " + std::to_string(bad));
    }
  }
  int32_t Window::* const windows[] = {&Window::height,          &Window::width,          &Window::stride_height, &Window::stride_width,
                                       &Window::dilation_height, &Window::dilation_width, &Window::pad_top,       &Window::pad_left};
  for (auto field : windows) {
    for (int32_t bad : {-1, kHuge, kLeast}) {
      ConvShape s = good_shape();
      s.window.*field = bad;
      checks.that(!s.validate().ok(), "a window's number of " + std::to_string(bad));
    }
  }
  ConvShape s = good_shape();
  s.groups = 3;
  checks.that(!s.validate().ok(), "groups that do not divide");
  s = good_shape();
  s.batch = s.input_height = s.input_width = 1 << 20;
  checks.that(!s.validate().ok(), "a product beyond all memory");

  const std::vector<int32_t> filter(8 * 9 * 2);
  FloatStage stage{Activation::kNone, std::vector<float>(8), std::vector<float>(8)};
  const ChannelLayout layout = ChannelLayout::packed(64);
  const int64_t words = static_cast<int64_t>(filter.size());
  const auto definition = [&](const ChannelLayout& input, int64_t size) {
    return ConvDefinition{good_shape(), input, filter.data(), size};
  };
  BinaryConv conv;
  checks.that(conv.prepare(definition(layout, words), stage, 1).ok(), "a good convolution");
  checks.that(!conv.prepare(definition(layout, words - 1), stage, 1).ok(), "a filter too short");
  checks.that(!conv.prepare(definition(ChannelLayout::packed(63), words), stage, 1).ok(), "a layout of other channels");
  checks.that(!conv.prepare(definition(layout, words), stage, 0).ok(), "no threads");
  const Status unknown = conv.prepare(definition(layout, words), stage, 1, "none");
  checks.that(unknown.text().rfind("there is no kernel none; it can be ", 0) == 0, "an unknown kernel: " + unknown.text());
  ChannelLayout shared = layout;
  shared.position[5] = shared.position[6];
  checks.that(!conv.prepare(definition(shared, words), stage, 1).ok(), "two channels at one bit");
  for (int32_t position : {-1, 64, kHuge, kLeast}) {
    ChannelLayout outside = layout;
    outside.position[5] = position;
    checks.that(!conv.prepare(definition(outside, words), stage, 1).ok(), "a channel outside its pixel");
  }
  stage.bias.pop_back();
  checks.that(!conv.prepare(definition(layout, words), stage, 1).ok(), "a bias too short");
  CompareStage compare;
  compare.threshold.resize(8);
  checks.that(conv.prepare(definition(layout, words), compare, 1).ok(), "a good comparison");
  compare.copies = kHuge;
  checks.that(!conv.prepare(definition(layout, words), compare, 1).ok(), "too many copies");
  compare.copies = 1;
  compare.pooled = true;
  checks.that(!conv.prepare(definition(layout, words), compare, 1).ok(), "a pool of nothing");
  Int8Stage int8{Activation::kNone, std::vector<float>(8), std::vector<float>(8), 0, 0};
  checks.that(!conv.prepare(definition(layout, words), int8, 1).ok(), "a scale of zero");

  struct Slide {
    int32_t input, window, stride, dilation;
    bool same;
    int32_t output, pad;
  };
  for (const Slide& t :
       {Slide{7, 3, 2, 1, true, 4, 1}, Slide{8, 3, 2, 1, true, 4, 0}, Slide{8, 3, 2, 1, false, 3, 0}, Slide{5, 3, 1, 2, false, 1, 0},
        Slide{1, 5, 1, 1, true, 1, 2}, Slide{6, 2, 1, 1, true, 6, 0}, Slide{4, 1, 3, 1, true, 2, 0}}) {
    int32_t output = 0, pad = 0;
    checks.that(slide(t.input, t.window, t.stride, t.dilation, t.same, &output, &pad).ok() && output == t.output && pad == t.pad, "slide");
  }
  int32_t output, pad;
  checks.that(!slide(4, 5, 1, 1, false, &output, &pad).ok(), "a window larger than the image");
  checks.that(!slide(4, kHuge, 1, kHuge, true, &output, &pad).ok(), "a window beyond int32");

  checks.that(ChannelLayout::packed(33).words == 2 && ChannelLayout::packed(33).position[32] == 32, "packed");
  const ChannelLayout copied = ChannelLayout::copied(2, 45);
  checks.that(copied.words == 3 && copied.position[44] == 44 && copied.position[45] == 48 && copied.position[89] == 92, "copied");
  checks.that(ChannelLayout::copied(kHuge, kHuge).words == 0 && ChannelLayout::copied(0, 1).words == 0, "copies beyond all memory");
  return checks.finish("shape_test");
}

}  // namespace
}  // namespace bduo::test

int main() { return bduo::test::main_of_test(); }
