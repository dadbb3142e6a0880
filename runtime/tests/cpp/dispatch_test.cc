// Checks which kernel is taken, by sets of features, the order of the list, shapes and names, also of those that are not there.
#include "kernels/dispatch.h"

#include <algorithm>
#include <set>

#include "check.h"

namespace bduo::test {
namespace {

constexpr Features kAll = ~Features{0};

void check_features(Checks& checks) {
  checks.that(has(kAvx2, kPopcnt) && has(kAvx512, kAvx2) && !has(kPopcnt, kAvx2), "features include what they build on");
  checks.that(!has(kNeon, kAvx512) && !has(kAvx512, kNeon), "features of two processors include none of each other");
  checks.that(!has(kAvx512 & ~kPopcnt, kAvx2), "a feature is not there without what it builds on");
  for (Features feature : {kPopcnt, kAvx2, kAvx512, kNeon}) checks.that(has(feature, kPortable), "features include what all have");
}

template <class Contract>
void check_list(KernelList<Contract> list, Checks& checks) {
  std::set<std::string> names;
  for (const Kernel<Contract>& kernel : list) {
    checks.that(names.insert(kernel.name).second, std::string(kernel.name) + " has a name of its own");
  }
  checks.that((list.end() - 1)->needs == kPortable, "the last kernel runs everywhere");
}

void check_best(Checks& checks) {
  // Whatever the machine has and however wide the rows are, the first of the list that fits both is taken.
  for (const Kernel<BitGemm>& machine : bit_gemms()) {
    for (int64_t width : {1, 2, 3, 100}) {
      const Kernel<BitGemm>& best = best_bit_gemm(machine.needs, width);
      const auto fits = [&](const Kernel<BitGemm>& kernel) { return has(machine.needs, kernel.needs) && kernel.code->patches <= width; };
      checks.that(fits(best) && std::none_of(bit_gemms().begin(), &best, fits), std::string("the best bit GEMM for ") + machine.name);
    }
  }
  for (const Kernel<Stages>& machine : stage_sets()) {
    checks.that(&best_stages(machine.needs) == &machine, std::string("the best stages for ") + machine.name);
  }
  checks.that(std::string(best_bit_gemm(kPortable, 8).name) == "portable", "every machine has a kernel");
  checks.that(&best_bit_gemm(kAll, 100) == bit_gemms().begin(), "the first kernel is the best");
}

void check_names(Checks& checks) {
  std::string names;
  for (const Kernel<BitGemm>& kernel : bit_gemms()) {
    names += (names.empty() ? "" : ", ") + std::string(kernel.name);
    const Kernel<BitGemm>* found = nullptr;
    checks.that(find_bit_gemm(kernel.name, kAll, &found).ok() && found == &kernel, std::string(kernel.name) + " by name");
    if (kernel.needs == kPortable) continue;
    found = nullptr;
    const Status status = find_bit_gemm(kernel.name, kPortable, &found);
    checks.that(
        status.text() == "this machine cannot run the kernel " + std::string(kernel.name) + "; it can be portable" && found == nullptr,
        status.text());
  }
  const Kernel<BitGemm>* found = nullptr;
  for (const char* name : {"", "none", "portable ", "Portable", "kPopcnt"}) {
    const Status status = find_bit_gemm(name, kAll, &found);
    checks.that(status.text() == "there is no kernel " + std::string(name) + "; it can be " + names && found == nullptr, status.text());
  }
}

int main_of_test() {
  Checks checks;
  check_features(checks);
  check_list(bit_gemms(), checks);
  check_list(stage_sets(), checks);
  check_best(checks);
  check_names(checks);
  return checks.finish("dispatch_test");
}

}  // namespace
}  // namespace bduo::test

int main() { return bduo::test::main_of_test(); }
