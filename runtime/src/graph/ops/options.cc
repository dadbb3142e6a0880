// What the readers of several operators share: LCE's options, and TFLite's numbers in them.
#include "graph/ops/options.h"

namespace bduo {

Status to_padding(int32_t number, bool* same) {
  if (number != 0 && number != 1) return Status::error("its padding is neither SAME nor VALID");
  *same = number == 0;
  return {};
}

std::optional<Activation> to_activation(int number) {
  switch (number) {
    case kTfLiteActNone: return Activation::kNone;
    case kTfLiteActRelu: return Activation::kRelu;
    case kTfLiteActReluN1To1: return Activation::kRelu1;
    case kTfLiteActRelu6: return Activation::kRelu6;
    default: return {};
  }
}

}  // namespace bduo
