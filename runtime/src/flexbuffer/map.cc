// A reader of the integers in a FlexBuffer map. Format: https://flatbuffers.dev/flexbuffers (little endian; a vector's
// size lies before it; a map is a vector with an offset to its sorted keys and their width before the size).
#include "flexbuffer/map.h"

#include <cstring>
#include <limits>

namespace bduo {
namespace {

enum Type : uint8_t { kInt = 1, kUint = 2, kIndirectInt = 6, kIndirectUint = 7, kMap = 9, kBool = 26 };

bool is_width(uint64_t width) { return width == 1 || width == 2 || width == 4 || width == 8; }

}  // namespace

FlexMap::FlexMap(const void* bytes, size_t size) : bytes_(static_cast<const uint8_t*>(bytes)), size_(bytes ? size : 0) {
  // The last bytes: the root (an offset), its packed type, its width.
  if (size_ < 3) return;
  const size_t root_width = bytes_[size_ - 1];
  const uint8_t packed_type = bytes_[size_ - 2];
  if (!is_width(root_width) || size_ - 2 < root_width || packed_type >> 2 != kMap) return;
  size_t values;
  if (!follow(size_ - 2 - root_width, root_width, &values)) return;
  const size_t width = size_t{1} << (packed_type & 3);
  if (values < 3 * width) return;
  size_t keys;
  uint64_t key_width, count, key_count;
  if (!follow(values - 3 * width, width, &keys) || !read_unsigned(values - 2 * width, width, &key_width) ||
      !read_unsigned(values - width, width, &count) || !is_width(key_width) || keys < key_width ||
      !read_unsigned(keys - key_width, key_width, &key_count) || key_count != count) {
    return;
  }
  if (count > (size_ - values) / (width + 1) || count > (size_ - keys) / key_width) return;
  valid_ = true;
  count_ = count;
  values_ = values;
  width_ = width;
  keys_ = keys;
  key_width_ = key_width;
}

bool FlexMap::get(const char* key, int32_t* value) const {
  for (size_t i = 0; i < count_; ++i) {
    size_t name;
    if (!follow(keys_ + i * key_width_, key_width_, &name) || !key_equals(name, key)) continue;
    int64_t found;
    if (!read_integer(values_ + i * width_, width_, bytes_[values_ + count_ * width_ + i], &found)) return false;
    if (found < std::numeric_limits<int32_t>::min() || found > std::numeric_limits<int32_t>::max()) return false;
    *value = static_cast<int32_t>(found);
    return true;
  }
  return false;
}

bool FlexMap::read_unsigned(size_t at, size_t width, uint64_t* value) const {
  if (at > size_ || size_ - at < width) return false;
  *value = 0;
  for (size_t i = 0; i < width; ++i) *value |= uint64_t{bytes_[at + i]} << (8 * i);
  return true;
}

bool FlexMap::follow(size_t at, size_t width, size_t* target) const {
  uint64_t offset;
  if (!read_unsigned(at, width, &offset) || offset > at) return false;
  *target = at - static_cast<size_t>(offset);
  return true;
}

bool FlexMap::key_equals(size_t at, const char* key) const {
  const size_t length = std::strlen(key) + 1;
  return at <= size_ && size_ - at >= length && std::memcmp(bytes_ + at, key, length) == 0;
}

bool FlexMap::read_integer(size_t at, size_t width, uint8_t packed_type, int64_t* value) const {
  const uint8_t type = packed_type >> 2;
  if (type == kIndirectInt || type == kIndirectUint) {
    if (!follow(at, width, &at)) return false;
    width = size_t{1} << (packed_type & 3);
  } else if (type != kInt && type != kUint && type != kBool) {
    return false;
  }
  uint64_t bits;
  if (!read_unsigned(at, width, &bits)) return false;
  if (type == kInt || type == kIndirectInt) {
    const int unused = static_cast<int>(64 - 8 * width);
    *value = static_cast<int64_t>(bits << unused) >> unused;  // the sign extended
    return true;
  }
  if (bits > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) return false;
  *value = static_cast<int64_t>(bits);
  return true;
}

}  // namespace bduo
