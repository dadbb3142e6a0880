// What every operator is: read from the file, asked by fusion.cc what it can become a part of, prepared for the shapes
// of its tensors, run. Each operator has a file of its own in ops/.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "abi/tflite.h"
#include "conv/shape.h"
#include "conv/thread_pool.h"
#include "graph/folded_thresholds.h"
#include "graph/sliding_window.h"
#include "graph/tensors.h"
#include "status.h"

namespace bduo {

struct TensorShape {
  std::vector<int32_t> dims;
  ChannelLayout layout;  // of bits whose channels do not lie as LCE packs them; without words where they do
};

// What an operator is prepared for. The dimensions of inputs[0] have passed bytes_of().
struct Preparation {
  TfLiteContext* context;
  std::vector<TensorShape> inputs;  // those that it is run with, constants of the file not among them
  int output;                       // the tensor that it writes
  int threads;
};

// An operator prepared for one set of shapes.
class PreparedOperator {
 public:
  virtual ~PreparedOperator() = default;
  // Each input, and the output, has as many bytes as its shape says.
  virtual void run(const void* const* inputs, void* output, ThreadPool& pool) = 0;

  // For placing the output and for reports.
  TensorShape shape;        // of the output
  int64_t macs = 0;         // multiply-adds of a run
  const char* kernel = "";  // the bit GEMM, if one is used
};

// What an operator computes where that is, channel by channel, a function of one tensor that is not constant.
struct ChannelFunction {
  int input = -1;
  ChannelOperation operation;
};

// An operator as the file has it, or several that fusion.cc has made one. It does not change and is shared.
class Operator {
 public:
  virtual ~Operator() = default;

  // False for TFLite's own operators, which are the host's unless they become a part of one of LCE's.
  virtual bool runs_alone() const { return true; }
  virtual Status prepare(const Preparation& preparation, std::unique_ptr<PreparedOperator>* prepared) const = 0;

  // What fusion.cc asks. An operator of which all of this is as here is never fused.

  // Its bits say which float32 numbers of its input are negative.
  virtual bool compares_with_zero() const { return false; }
  virtual std::optional<ChannelFunction> channel_function() const { return {}; }
  // The window, if it is a max pool of numbers. Its channel function is the activation fused into it.
  virtual std::optional<SlidingWindow> max_pool() const { return {}; }
  // It joins its inputs along the channels.
  virtual bool concatenates_channels() const { return false; }
  // It is the sum of its two inputs and nothing more.
  virtual bool is_sum() const { return false; }
  // It reads bits of so many channels wherever these lie within a pixel.
  virtual bool reads_any_layout(int32_t) const { return false; }
  // The channels of its output lie as those of its input do.
  virtual bool keeps_layout() const { return false; }
  // This operator whose float output is compared instead of written (with a window: after the max pool), nullptr if
  // that cannot be.
  virtual std::shared_ptr<const Operator> compared(TfLiteContext*, const Comparison&, const std::optional<SlidingWindow>&) const {
    return nullptr;
  }
  // This operator with a further input of the shape of its float output, to which it is added; nullptr if that cannot
  // be.
  virtual std::shared_ptr<const Operator> with_sum() const { return nullptr; }
};

}  // namespace bduo
