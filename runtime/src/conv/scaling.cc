// How LCE makes numbers of a binary convolution's sums. Compiled without contraction into fused multiply-adds, as all
// of this library is.
#include "conv/scaling.h"

#include <algorithm>
#include <limits>

namespace bduo {

int32_t saturated(int64_t x) {
  return static_cast<int32_t>(std::clamp<int64_t>(x, std::numeric_limits<int32_t>::min(), std::numeric_limits<int32_t>::max()));
}

float ChannelScaling::operator()(int32_t x) const {
  const float product = static_cast<float>(std::max(std::min(x, clamp_max), clamp_min)) * multiplier;
  return product + bias;
}

ChannelScaling OutputScaling::channel(float file_multiplier, float file_bias) const {
  int64_t least = -depth, most = depth;  // of the dot product
  switch (activation) {
    case Activation::kNone: break;
    case Activation::kRelu: least = 0; break;
    case Activation::kRelu1: least = -1, most = std::min<int64_t>(depth, 1); break;
    case Activation::kRelu6: least = 0, most = std::min<int64_t>(depth, 6); break;
  }
  ChannelScaling result;
  result.clamp_min = saturated(depth - most);
  result.clamp_max = saturated(depth - least);
  result.multiplier = static_cast<float>(-1 * static_cast<double>(file_multiplier) / scale);
  result.bias = static_cast<float>((static_cast<double>(file_bias) + static_cast<double>(depth) * file_multiplier) / scale + zero_point);
  return result;
}

}  // namespace bduo
