// What the readers of several operators share: LCE's options, and TFLite's numbers in them.
#pragma once

#include <cstdint>
#include <optional>

#include "abi/tflite.h"
#include "conv/scaling.h"
#include "flexbuffer/map.h"
#include "status.h"

namespace bduo {

// The options of an operator of LCE: they are read one after another, and the first that is missing is the error.
class Options {
 public:
  explicit Options(const TfLiteNode& node) : map_(node.custom_initial_data, static_cast<size_t>(node.custom_initial_data_size)) {}

  Options& read(const char* key, int32_t* value) {
    if (status_.ok()) status_ = map_.get(key, value);
    return *this;
  }
  const Status& status() const { return status_; }

 private:
  FlexMap map_;
  Status status_;
};

// LCE's number of a padding: whether it is SAME.
Status to_padding(int32_t number, bool* same);

// A fused activation by TFLite's number, nothing for those that are not known here.
std::optional<Activation> to_activation(int number);

}  // namespace bduo
