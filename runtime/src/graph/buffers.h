// Memory of the tensors inside a partition: few buffers, used again once what they hold was read for the last time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <vector>

#include "status.h"

namespace bduo {

class Buffers {
 public:
  // Reserves a buffer of at least `bytes` for one tensor and returns its number.
  size_t take(int64_t bytes);
  // Says that the tensor in a buffer is no longer needed.
  void release(size_t buffer);
  // Gets the memory that was reserved.
  Status allocate();
  void* data(size_t buffer) const { return memory_[buffer].get(); }

 private:
  static constexpr size_t kLine = 64;  // bytes of a cache line
  struct Free {
    void operator()(void* memory) const { ::operator delete(memory, std::align_val_t{kLine}); }
  };
  struct Slot {
    int64_t bytes;
    bool used;
  };
  std::vector<Slot> slots_;
  std::vector<std::unique_ptr<void, Free>> memory_;
};

}  // namespace bduo
