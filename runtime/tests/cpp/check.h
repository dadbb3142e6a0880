// What a test needs: random numbers from a seed, a check that says where and with what it failed, and the exit code.
#pragma once

#include <cstdint>
#include <cstdio>
#include <initializer_list>
#include <string>

namespace bduo::test {

// splitmix64
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t next() {
    uint64_t z = state_ += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  int32_t between(int32_t low, int32_t high) {  // both included
    return low + static_cast<int32_t>(next() % (static_cast<uint64_t>(int64_t{high} - low) + 1));
  }
  bool coin() { return (next() & 1) != 0; }
  float real() { return static_cast<float>(static_cast<double>(next() >> 11) / static_cast<double>(uint64_t{1} << 52) - 1.0); }  // -1..1
  template <class T>
  T one_of(std::initializer_list<T> choices) {
    return *(choices.begin() + next() % choices.size());
  }

 private:
  uint64_t state_;
};

class Checks {
 public:
  void that(bool holds, const std::string& what) {
    ++count_;
    if (holds) return;
    if (++failures_ <= 20) std::printf("FAILED %s\n", what.c_str());
  }
  int64_t failures() const { return failures_; }
  int finish(const char* name) const {
    std::printf("%s: %lld checks, %lld failed\n", name, static_cast<long long>(count_), static_cast<long long>(failures_));
    return failures_ == 0 && count_ > 0 ? 0 : 1;
  }

 private:
  int64_t count_ = 0, failures_ = 0;
};

}  // namespace bduo::test
