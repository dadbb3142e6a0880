// Which kernel runs: the kernels of this build, best first, and the choice among them by features, by shape and by name.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/bit_gemm.h"
#include "kernels/features.h"
#include "kernels/stages.h"
#include "status.h"

namespace bduo {

// A row of the list (list.inc).
template <class Contract>
struct Kernel {
  const char* name;
  Features needs;
  const Contract* code;
};

template <class Contract>
class KernelList {
 public:
  template <size_t kCount>
  explicit constexpr KernelList(const Kernel<Contract> (&rows)[kCount]) : begin_(rows), end_(rows + kCount) {}
  const Kernel<Contract>* begin() const { return begin_; }
  const Kernel<Contract>* end() const { return end_; }

 private:
  const Kernel<Contract>* begin_;
  const Kernel<Contract>* end_;
};

KernelList<BitGemm> bit_gemms();
KernelList<Stages> stage_sets();

// The best that these features can run, for an output with rows of so many patches.
const Kernel<BitGemm>& best_bit_gemm(Features there, int64_t row_patches);
const Kernel<Stages>& best_stages(Features there);

// The kernel of that name. If there is none, or these features cannot run it, an error that lists those that they can.
Status find_bit_gemm(const char* name, Features there, const Kernel<BitGemm>** kernel);

}  // namespace bduo
