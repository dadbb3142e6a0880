// A part of the host's graph that this library runs as one node: its plan, prepared for one set of shapes, and run.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "conv/binary_conv.h"
#include "conv/bits.h"
#include "conv/thread_pool.h"
#include "graph/buffers.h"
#include "graph/plan.h"

namespace bduo {

class Partition {
 public:
  // Reads the nodes to replace. With `profile`, run() takes the time of every step. nullptr, and an error text, if the nodes
  // are not ones to run.
  static std::unique_ptr<Partition> create(TfLiteContext* context, const TfLiteDelegateParams& params, std::shared_ptr<ThreadPool> pool,
                                           bool profile, std::string* error);

  // Both return an error text, empty if all is well. prepare() gives the output tensors their shapes; if the inputs' shapes are known
  // only when running, run() does that.
  std::string prepare(TfLiteContext* context);
  std::string run(TfLiteContext* context);

  // A line of JSON for each step: which nodes it stands for, the kernel, the time of all runs so far.
  std::string describe() const;

 private:
  // A tensor when running: the host's, or in a buffer of our own.
  struct Place {
    int host = -1;
    size_t buffer = 0;
    int64_t bytes = 0;  // that are read or written
  };
  struct Prepared {
    Place input, output, residual;
    std::vector<int32_t> dims;  // of the output
    BinaryConv conv;
    PoolShape pool;
    int64_t rows = 0, macs = 0;
    int32_t channels = 0;  // of kBitPool: words
    int8_t one = 0, zero = 0;
    int64_t nanoseconds = 0;
  };

  std::string prepare_steps(TfLiteContext* context);
  std::string prepare_step(TfLiteContext* context, const Step& step, Prepared* prepared);
  std::string prepare_conv(TfLiteContext* context, const Step& step, Prepared* prepared);
  std::string place_tensors(TfLiteContext* context);
  void run_step(TfLiteContext* context, const Step& step, Prepared& prepared);
  bool check(TfLiteContext* context, const Place& place) const;
  void* data(TfLiteContext* context, const Place& place) const;
  std::vector<std::vector<int32_t>> input_dims(TfLiteContext* context) const;
  bool is_host(int id) const;

  Plan plan_;
  std::vector<int> inputs_, outputs_;  // the host's tensors, constants not among them
  std::shared_ptr<ThreadPool> pool_;
  bool profile_ = false;
  int64_t runs_ = 0;

  // For the shapes prepared_for_.
  std::vector<std::vector<int32_t>> prepared_for_;
  bool ready_ = false;
  std::vector<Prepared> prepared_;
  std::map<int, std::vector<int32_t>> dims_;      // of tensors that steps write
  std::map<int, ChannelLayout> layouts_;  // of bits, where not LCE's
  Buffers buffers_;
};

}  // namespace bduo
