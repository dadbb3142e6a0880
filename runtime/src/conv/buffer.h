// Memory whose size comes from a file: aligned to cache lines, and an allocation that fails is an error, not an end.
#pragma once

#include <cstdint>
#include <cstring>
#include <memory>
#include <new>

#include "file_limits.h"
#include "status.h"

namespace bduo {

inline Status no_memory() { return Status::error("there is not enough memory for this convolution"); }

template <class T>
class Buffer {
 public:
  // All elements are zero. False if there is no such memory; `count` must not be negative.
  bool allocate(int64_t count) {
    if (count > limits::kMostBufferBytes / static_cast<int64_t>(sizeof(T))) return false;
    const size_t bytes = static_cast<size_t>(count) * sizeof(T) + kAlignment;
    memory_.reset(new (std::nothrow) unsigned char[bytes]());
    if (memory_ == nullptr) return false;
    void* start = memory_.get();
    size_t space = bytes;
    data_ = static_cast<T*>(std::align(kAlignment, static_cast<size_t>(count) * sizeof(T), start, space));
    return data_ != nullptr;
  }

  T* data() { return data_; }
  const T* data() const { return data_; }
  T& operator[](int64_t i) { return data_[i]; }
  const T& operator[](int64_t i) const { return data_[i]; }

 private:
  static constexpr size_t kAlignment = 64;
  std::unique_ptr<unsigned char[]> memory_;
  T* data_ = nullptr;
};

}  // namespace bduo
