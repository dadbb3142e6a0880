// A part of the host's graph that this library runs as one node: fused, prepared for one set of shapes, and run.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "conv/thread_pool.h"
#include "graph/buffers.h"
#include "graph/fusion.h"
#include "status.h"

namespace bduo {

class Partition {
 public:
  // Reads the nodes to replace; it fails if they are not ones to run. With `profile`, run() takes the time of every
  // step.
  static Status create(TfLiteContext* context, const TfLiteDelegateParams& params, std::shared_ptr<ThreadPool> pool, bool profile,
                       std::unique_ptr<Partition>* partition);

  // Gives the output tensors their shapes. If the inputs' shapes are known only when running, run() does that.
  Status prepare(TfLiteContext* context);
  Status run(TfLiteContext* context);

  // A line of JSON for each step: which nodes it stands for, the kernel, the time of all runs so far.
  std::string describe() const;

 private:
  // Where a tensor is when running: the host has it, or it lies in a buffer of our own.
  struct Place {
    int host = -1;
    size_t buffer = 0;
    int64_t bytes = 0;  // that are read or written
  };
  struct PreparedStep {
    std::unique_ptr<PreparedOperator> op;
    std::vector<Place> inputs;
    Place output;
    int64_t nanoseconds = 0;
  };

  Status prepare_steps(TfLiteContext* context);
  Status prepare_step(TfLiteContext* context, const Step& step, PreparedStep* prepared);
  Status place_tensors(TfLiteContext* context);
  void place_step(TfLiteContext* context, size_t i, const std::map<int, size_t>& last_read, std::map<int, size_t>* buffer_of);
  Status resize_outputs(TfLiteContext* context);
  Status run_step(TfLiteContext* context, PreparedStep& step);
  Status locate(TfLiteContext* context, const Place& place, void** data) const;
  TensorShape shape_of(TfLiteContext* context, int id) const;
  std::vector<std::vector<int32_t>> input_dims(TfLiteContext* context) const;
  bool is_host(int id) const;

  FusedGraph graph_;
  std::vector<int> inputs_, outputs_;  // the host's tensors, constants not among them
  std::shared_ptr<ThreadPool> pool_;
  bool profile_ = false;
  int64_t runs_ = 0;

  // What follows holds for the shapes prepared_for_ if ready_.
  std::vector<std::vector<int32_t>> prepared_for_;
  bool ready_ = false;
  std::vector<PreparedStep> prepared_;
  std::map<int, TensorShape> shapes_;  // of tensors that steps write
  Buffers buffers_;
};

}  // namespace bduo
