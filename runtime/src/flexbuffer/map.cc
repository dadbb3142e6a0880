// A reader of the integers in a FlexBuffer map. Format: https://flatbuffers.dev/flexbuffers (little endian; a vector's
// size lies before it; a map is a vector with an offset to its sorted keys and their width before the size).
#include "flexbuffer/map.h"

#include <cstring>
#include <limits>
#include <string>

namespace bduo {
namespace {

enum Type : uint8_t { kInt = 1, kUint = 2, kIndirectInt = 6, kIndirectUint = 7, kMap = 9, kBool = 26 };

bool is_width(uint64_t width) { return width == 1 || width == 2 || width == 4 || width == 8; }

}  // namespace

FlexMap::FlexMap(const void* bytes, size_t size) : bytes_(static_cast<const uint8_t*>(bytes)), size_(bytes ? size : 0) {
  // The last bytes of a FlexBuffer are its root, which for a map is an offset, the root's packed type and the root's
  // width.
  if (size_ < 3) return;
  const size_t root_width = bytes_[size_ - 1];
  const uint8_t packed_type = bytes_[size_ - 2];
  if (!is_width(root_width) || size_ - 2 < root_width || packed_type >> 2 != kMap) return;
  const std::optional<size_t> values = follow(size_ - 2 - root_width, root_width);
  const size_t width = size_t{1} << (packed_type & 3);
  if (!values || *values < 3 * width) return;
  const std::optional<size_t> keys = follow(*values - 3 * width, width);
  const std::optional<uint64_t> key_width = read_unsigned(*values - 2 * width, width), count = read_unsigned(*values - width, width);
  if (!keys || !key_width || !count || !is_width(*key_width) || *keys < *key_width) return;
  if (read_unsigned(*keys - *key_width, *key_width) != count) return;
  if (*count > (size_ - *values) / (width + 1) || *count > (size_ - *keys) / *key_width) return;
  valid_ = true;
  count_ = static_cast<size_t>(*count);
  values_ = *values;
  width_ = width;
  keys_ = *keys;
  key_width_ = static_cast<size_t>(*key_width);
}

Status FlexMap::get(const char* key, int32_t* value) const {
  const std::optional<int64_t> found = find(key);
  if (!found || *found < std::numeric_limits<int32_t>::min() || *found > std::numeric_limits<int32_t>::max()) {
    return Status::error(std::string("its options lack ") + key);
  }
  *value = static_cast<int32_t>(*found);
  return {};
}

std::optional<int64_t> FlexMap::find(const char* key) const {
  for (size_t i = 0; i < count_; ++i) {
    const std::optional<size_t> name = follow(keys_ + i * key_width_, key_width_);
    if (name && key_equals(*name, key)) {
      return read_integer(values_ + i * width_, width_, bytes_[values_ + count_ * width_ + i]);
    }
  }
  return {};
}

std::optional<uint64_t> FlexMap::read_unsigned(size_t at, size_t width) const {
  if (at > size_ || size_ - at < width) return {};
  uint64_t value = 0;
  for (size_t i = 0; i < width; ++i) value |= uint64_t{bytes_[at + i]} << (8 * i);
  return value;
}

std::optional<size_t> FlexMap::follow(size_t at, size_t width) const {
  const std::optional<uint64_t> offset = read_unsigned(at, width);
  if (!offset || *offset > at) return {};
  return at - static_cast<size_t>(*offset);
}

bool FlexMap::key_equals(size_t at, const char* key) const {
  const size_t length = std::strlen(key) + 1;
  return at <= size_ && size_ - at >= length && std::memcmp(bytes_ + at, key, length) == 0;
}

std::optional<int64_t> FlexMap::read_integer(size_t at, size_t width, uint8_t packed_type) const {
  const uint8_t type = packed_type >> 2;
  if (type == kIndirectInt || type == kIndirectUint) {
    const std::optional<size_t> target = follow(at, width);
    if (!target) return {};
    at = *target;
    width = size_t{1} << (packed_type & 3);
  } else if (type != kInt && type != kUint && type != kBool) {
    return {};
  }
  const std::optional<uint64_t> bits = read_unsigned(at, width);
  if (!bits) return {};
  if (type == kInt || type == kIndirectInt) {
    const int unused = static_cast<int>(64 - 8 * width);
    return static_cast<int64_t>(*bits << unused) >> unused;  // The shift back copies the sign.
  }
  if (*bits > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) return {};
  return static_cast<int64_t>(*bits);
}

}  // namespace bduo
