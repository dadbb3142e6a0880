// Fuzzes the delegate: the input is a .tflite file, its last bytes are the settings of the run (see Settings).
#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "host.h"

extern "C" TfLiteDelegate* tflite_plugin_create_delegate(const char* const* keys, const char* const* values, size_t count,
                                                         void (*report_error)(const char*));
extern "C" void tflite_plugin_destroy_delegate(TfLiteDelegate* delegate);

namespace bduo::fuzz {
namespace {

struct Settings {
  bool two_threads = false, report = false, dynamic = false;
  int sizes[3] = {0, 0, 0};  // the second run's batch, height and width, where 0 leaves them as they are in the first

  Settings(const uint8_t* file, size_t size) {
    constexpr size_t kBytes = 4;
    if (size < kBytes) return;
    const uint8_t* bytes = file + size - kBytes;
    two_threads = bytes[0] % 16 == 15;  // Threads cost time, so they are seldom used.
    report = bytes[0] & 16;
    dynamic = bytes[0] & 32;
    for (size_t i = 0; i < 3; ++i) sizes[i] = bytes[i + 1] % 14;
  }
};

struct Statistics {
  uint64_t inputs = 0, parsed = 0, small = 0, accepted = 0, invoked = 0, resized = 0;

  ~Statistics() {
    std::fprintf(stderr, "inputs %llu, parsed %llu, small %llu, taken by the delegate %llu, invoked %llu, invoked after a resize %llu\n",
                 static_cast<unsigned long long>(inputs), static_cast<unsigned long long>(parsed), static_cast<unsigned long long>(small),
                 static_cast<unsigned long long>(accepted), static_cast<unsigned long long>(invoked),
                 static_cast<unsigned long long>(resized));
  }
};

// Whether a run is quick. It bounds memory and the work of convolutions, whose output has at most as many pixels as
// some input.
bool is_small(const Model& model, const std::vector<std::vector<int>>& shapes) {
  constexpr int64_t kMostBytes = 1 << 18, kMostPixels = 1024, kMostWork = 20'000'000;
  int64_t bytes = 0, most_pixels = 1, bits = 0;
  for (size_t i = 0; i < shapes.size(); ++i) {
    int64_t pixels = 1, size = 4;
    for (size_t d = 0; d < shapes[i].size(); ++d) {
      size *= std::max(shapes[i][d], 1);
      if (d + 1 < shapes[i].size()) pixels *= std::max(shapes[i][d], 1);
      if (size > kMostBytes) return false;
    }
    bytes += size;
    if (!model.tensors[i].content.data)
      most_pixels = std::max(most_pixels, pixels);
    else if (model.tensors[i].type == kTfLiteInt32)
      bits += size * 8;
  }
  return bytes <= kMostBytes && most_pixels <= kMostPixels && bits * most_pixels <= kMostWork;
}

TfLiteDelegate* create(const Settings& settings) {
  const char* keys[] = {"num_threads", "report"};
  const char* values[] = {settings.two_threads ? "2" : "1", "/dev/null"};
  return tflite_plugin_create_delegate(keys, values, settings.report ? 2 : 1, nullptr);
}

void run(const Model& model, const Settings& settings, TfLiteDelegate* delegate, Statistics& statistics) {
  std::vector<std::vector<int>> shapes;
  for (const ModelTensor& tensor : model.tensors) shapes.push_back(tensor.shape);
  if (!is_small(model, shapes)) return;
  ++statistics.small;
  Host host(model, settings.dynamic);
  if (host.apply(delegate) && host.partitions() > 0) {
    ++statistics.accepted;
    if (host.allocate() && host.invoke()) statistics.invoked += host.invoke();
  } else if (host.partitions() == 0) {
    return;
  }
  for (int id : model.inputs) {
    std::vector<int>& shape = shapes[static_cast<size_t>(id)];
    for (size_t i = 0; i < 3 && i < shape.size(); ++i) shape[i] = settings.sizes[i] ? settings.sizes[i] : shape[i];
  }
  if (!is_small(model, shapes)) return;
  for (int id : model.inputs) host.resize(id, shapes[static_cast<size_t>(id)]);
  if (host.allocate()) statistics.resized += host.invoke();
  if (host.constants_intact()) return;
  std::fprintf(stderr, "a constant was written to\n");
  std::abort();
}

}  // namespace
}  // namespace bduo::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace bduo::fuzz;
  static Statistics statistics;
  ++statistics.inputs;
  Model model;
  if (!read_model(data, size, &model)) return 0;
  ++statistics.parsed;
  const Settings settings(data, size);
  TfLiteDelegate* delegate = create(settings);
  run(model, settings, delegate, statistics);
  tflite_plugin_destroy_delegate(delegate);
  return 0;
}
