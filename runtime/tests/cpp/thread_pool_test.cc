// Checks that every task is done once, by threads that exist, run after run, also with pools beside each other.
#include "conv/thread_pool.h"

#include <atomic>
#include <thread>
#include <vector>

#include "check.h"

namespace bduo::test {
namespace {

bool runs_all(ThreadPool& pool, int64_t count) {
  std::vector<int> times(static_cast<size_t>(count));
  std::atomic<bool> threads_exist{true};
  pool.run(count, [&](int64_t index, int thread) {
    ++times[static_cast<size_t>(index)];
    if (thread < 0 || thread >= pool.threads()) threads_exist = false;
  });
  bool once = true;
  for (int n : times) once = once && n == 1;
  return once && threads_exist;
}

int main_of_test() {
  Checks checks;
  checks.that(ThreadPool(-5).threads() == 1 && ThreadPool(0).threads() == 1 && ThreadPool(4).threads() == 4, "threads");
  for (int threads : {1, 2, 3, 8}) {
    ThreadPool pool(threads);
    for (int64_t count = 0; count < 300; ++count) checks.that(runs_all(pool, count), "tasks");
  }
  for (int i = 0; i < 50; ++i) {  // started and stopped, with and without work
    ThreadPool pool(3);
    if (i % 2 == 0) checks.that(runs_all(pool, 5), "short life");
  }
  std::atomic<int> good{0};
  std::vector<std::thread> owners;
  for (int owner = 0; owner < 3; ++owner) {
    owners.emplace_back([&good] {
      ThreadPool pool(2);
      for (int64_t count = 0; count < 100; ++count) good += runs_all(pool, count) ? 1 : 0;
    });
  }
  for (std::thread& owner : owners) owner.join();
  checks.that(good == 300, "pools beside each other");
  return checks.finish("thread_pool_test");
}

}  // namespace
}  // namespace bduo::test

int main() { return bduo::test::main_of_test(); }
