// Fuzzes the reader of FlexBuffers: the input is any bytes, from which every key of LCE's options and some others are
// read.
#include <cstdlib>
#include <cstring>
#include <memory>

#include "flexbuffer/map.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  constexpr const char* kKeys[] = {"channels_in",
                                   "dilation_height_factor",
                                   "dilation_width_factor",
                                   "fused_activation_function",
                                   "pad_values",
                                   "padding",
                                   "stride_height",
                                   "stride_width",
                                   "filter_height",
                                   "filter_width",
                                   "",
                                   "no such key"};
  // The copy has exactly this size, so that the sanitizer sees a read of one byte too many.
  const std::unique_ptr<uint8_t, decltype(&std::free)> bytes(static_cast<uint8_t*>(std::malloc(size ? size : 1)), &std::free);
  if (size) std::memcpy(bytes.get(), data, size);
  const bduo::FlexMap map(bytes.get(), size);
  for (const char* key : kKeys) {
    constexpr int32_t kBefore = 0x5a5a5a5a;
    int32_t value = kBefore;
    const bool found = map.get(key, &value).ok();
    if (found ? !map.valid() : value != kBefore) std::abort();
  }
  return 0;
}
