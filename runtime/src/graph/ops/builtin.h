// What TFLite's own operators have in common here: they run only as a part of one of LCE's.
#pragma once

#include "graph/operator.h"

namespace bduo {

class BuiltinOperator : public Operator {
 public:
  bool runs_alone() const final { return false; }
  Status prepare(const Preparation&, std::unique_ptr<PreparedOperator>*) const final { return Status::error("it is the host's to run"); }
};

}  // namespace bduo
