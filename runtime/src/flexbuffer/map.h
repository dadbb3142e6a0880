// A reader of the integers in a FlexBuffer map, which is how LCE's operators carry their options. Its input is
// untrusted.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "status.h"

namespace bduo {

class FlexMap {
 public:
  // A view: the bytes must outlive it. Bytes that are not a map are read as a map without entries; see valid().
  FlexMap(const void* bytes, size_t size);

  bool valid() const { return valid_; }

  // The value of a key. It fails, and leaves `value` as it was, if the key is missing or its value is no integer (or
  // bool) that fits.
  Status get(const char* key, int32_t* value) const;

 private:
  std::optional<uint64_t> read_unsigned(size_t at, size_t width) const;
  // Where the offset stored at `at` points to. Offsets point backwards from where they stand.
  std::optional<size_t> follow(size_t at, size_t width) const;
  bool key_equals(size_t at, const char* key) const;
  std::optional<int64_t> read_integer(size_t at, size_t width, uint8_t packed_type) const;
  std::optional<int64_t> find(const char* key) const;

  const uint8_t* bytes_;
  size_t size_;
  bool valid_ = false;
  size_t count_ = 0;
  size_t values_ = 0,
         width_ = 0;                 // where the values begin and the bytes of each; a byte of type for each value follows them
  size_t keys_ = 0, key_width_ = 0;  // where the offsets to the keys begin and the bytes of each
};

}  // namespace bduo
