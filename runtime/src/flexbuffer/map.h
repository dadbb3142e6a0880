// A reader of the integers in a FlexBuffer map, such as LCE's operators carry as options. Its input is untrusted.
#pragma once

#include <cstddef>
#include <cstdint>

namespace bduo {

class FlexMap {
 public:
  // A view: the bytes must outlive it. Anything that is not a map is taken for an empty one; see valid().
  FlexMap(const void* bytes, size_t size);

  bool valid() const { return valid_; }

  // The value of a key if it is there and is an integer (or bool) that fits; else false, and `value` is as before.
  bool get(const char* key, int32_t* value) const;

 private:
  bool read_unsigned(size_t at, size_t width, uint64_t* value) const;
  // Where the offset stored at `at` points to: backwards from it.
  bool follow(size_t at, size_t width, size_t* target) const;
  bool key_equals(size_t at, const char* key) const;
  bool read_integer(size_t at, size_t width, uint8_t packed_type, int64_t* value) const;

  const uint8_t* bytes_;
  size_t size_;
  bool valid_ = false;
  size_t count_ = 0;
  size_t values_ = 0, width_ = 0;   // where the values begin, bytes of each; a byte of type for each follows them
  size_t keys_ = 0, key_width_ = 0;  // the same of the offsets to the keys
};

}  // namespace bduo
