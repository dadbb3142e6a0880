// Mutates fields of a .tflite file and keeps the rest whole, so that most of what comes out still reaches the delegate.
#include <cstring>
#include <random>

#include "model.h"

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t most);

namespace bduo::fuzz {
namespace {

using Random = std::minstd_rand;

size_t below(Random& random, size_t n) { return std::uniform_int_distribution<size_t>(0, n - 1)(random); }
template <class T, size_t n>
T pick(Random& random, const T (&values)[n]) {
  return values[below(random, n)];
}

class Mutator {
 public:
  Mutator(uint8_t* file, size_t size, unsigned seed) : file_(file), size_(size), random_(seed) {}

  // Returns false if there is nothing to mutate.
  bool mutate() {
    Model model;
    if (!read_model(file_, size_, &model, &fields_)) return false;
    const auto kind = static_cast<Field::Kind>(below(random_, Field::kLength + 1));
    if (kind == Field::kLength) {
      file_[size_ - 1 - below(random_, 4)] = static_cast<uint8_t>(random_());  // the run's settings
      return true;
    }
    std::vector<Field> candidates;
    for (const Field& field : fields_) {
      if (field.kind == kind) candidates.push_back(field);
    }
    if (candidates.empty()) return false;
    change(candidates[below(random_, candidates.size())], candidates);
    correct_lengths();
    return true;
  }

 private:
  template <class T>
  T get(size_t at) const {
    T value;
    std::memcpy(&value, file_ + at, sizeof value);
    return value;
  }
  template <class T>
  void set(size_t at, T value) {
    std::memcpy(file_ + at, &value, sizeof value);
  }

  void change(const Field& field, const std::vector<Field>& others) {
    const size_t at = field.at + below(random_, field.count) * field.width();
    switch (field.kind) {
      case Field::kIndex: {
        const Field& other = others[below(random_, others.size())];
        set(at,
            below(random_, 8) ? get<int32_t>(other.at + below(random_, other.count) * 4) : static_cast<int32_t>(below(random_, 42)) - 2);
        return;
      }
      case Field::kSize: change_size(field, at, others); return;
      case Field::kEnum: file_[at] = static_cast<uint8_t>(below(random_, 8) ? below(random_, 12) : random_()); return;
      case Field::kFloat: set(at, number()); return;
      case Field::kLong:
        set(at, pick<int64_t>(random_, {-129, -128, -127, -1, 0, 1, 100, 127, 128, INT32_MIN, INT32_MAX, INT64_MIN}));
        return;
      case Field::kOptions: {
        // A FlexBuffer's values are its last bytes.
        const size_t end = field.at + field.count, last = field.count < 24 || !below(random_, 4) ? field.count : 24;
        file_[end - 1 - below(random_, last)] =
            below(random_, 2) ? static_cast<uint8_t>(below(random_, 6)) : static_cast<uint8_t>(random_());
        return;
      }
      default: set(at, below(random_, 2) ? number() : get<float>(field.at + below(random_, field.count) * 4)); return;
    }
  }

  float number() {
    const uint32_t bits = static_cast<uint32_t>(random_()) << 8 ^ static_cast<uint32_t>(random_());
    float any;
    std::memcpy(&any, &bits, sizeof any);
    return pick(random_,
                {any, any, 0.0f, -0.0f, 1.0f, -1.0f, 1e-30f, -1e30f, 3e38f, -3e38f, 1e-42f, 1.0f / 0.0f, -1.0f / 0.0f, 0.0f / 0.0f});
  }

  // Changes one size, or a size wherever it stands, so that tensors still fit together.
  void change_size(const Field& field, size_t at, const std::vector<Field>& others) {
    const auto old = get<int32_t>(at);
    const int32_t half = old / 2, more = static_cast<int32_t>(uint32_t{1} + static_cast<uint32_t>(old));
    const int32_t value =
        pick(random_, {0,  1,  1,  2,  3,   4,   5,   6,   7,   8,    9,    15,   16,   17, 24, 31,   32,    33,        40,
                       63, 64, 65, 96, 128, 129, 255, 256, 257, half, half, more, more, -1, -2, 4095, 65536, INT32_MAX, INT32_MIN});
    switch (below(random_, 4)) {
      case 0: {  // The tensor keeps its number of elements.
        const size_t other = field.at + below(random_, field.count) * 4;
        set(at, get<int32_t>(other));
        set(other, old);
        return;
      }
      case 1: set(at, value); return;
      default:
        for (const Field& each : others) {
          for (size_t i = 0; i < each.count; ++i) {
            if (get<int32_t>(each.at + 4 * i) == old) set(each.at + 4 * i, value);
          }
        }
    }
  }

  // Gives constants the length that their shapes now say. They may overlap then.
  void correct_lengths() {
    Model model;
    fields_.clear();
    if (!read_model(file_, size_, &model, &fields_)) return;
    for (const Field& field : fields_) {
      if (field.kind == Field::kLength) set(field.at, static_cast<uint32_t>(field.count));
    }
  }

  uint8_t* file_;
  size_t size_;
  Random random_;
  std::vector<Field> fields_;
};

}  // namespace
}  // namespace bduo::fuzz

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t most, unsigned seed) {
  // A change that a host would refuse at once is mostly not worth an input, so another is tried.
  constexpr unsigned kTries = 4;
  const std::vector<uint8_t> before(data, data + size);
  for (unsigned i = 0; seed % 32 != 0 && i < kTries; ++i) {
    if (!bduo::fuzz::Mutator(data, size, seed + i).mutate()) continue;
    bduo::fuzz::Model model;
    if (i + 1 == kTries || bduo::fuzz::read_model(data, size, &model)) return size;
    std::memcpy(data, before.data(), size);
  }
  return LLVMFuzzerMutate(data, size, most);
}
