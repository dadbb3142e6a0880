// Memory of the tensors inside a partition.
#include "graph/buffers.h"

#include <algorithm>
#include <new>
#include <string>

namespace bduo {

size_t Buffers::take(int64_t bytes) {
  // Takes the smallest free one that is large enough, else the largest free one, which then grows.
  size_t best = slots_.size();
  for (size_t i = 0; i < slots_.size(); ++i) {
    if (slots_[i].used) continue;
    const bool better =
        best == slots_.size() || (slots_[best].bytes < bytes ? slots_[i].bytes > slots_[best].bytes
                                                             : slots_[i].bytes >= bytes && slots_[i].bytes < slots_[best].bytes);
    if (better) best = i;
  }
  if (best == slots_.size()) slots_.push_back({0, true});
  slots_[best].used = true;
  slots_[best].bytes = std::max(slots_[best].bytes, bytes);
  return best;
}

void Buffers::release(size_t buffer) { slots_[buffer].used = false; }

Status Buffers::allocate() {
  memory_.clear();
  int64_t sum = 0;
  for (const Slot& slot : slots_) sum += slot.bytes;
  for (const Slot& slot : slots_) {
    const size_t bytes = (static_cast<size_t>(slot.bytes) + kLine - 1) / kLine * kLine;
    memory_.emplace_back(::operator new(bytes, std::align_val_t{kLine}, std::nothrow));
    if (!memory_.back()) return Status::error("there is not enough memory for " + std::to_string(sum) + " bytes");
  }
  return {};
}

}  // namespace bduo
