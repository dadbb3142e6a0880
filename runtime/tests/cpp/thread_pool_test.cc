// Checks that every task is done once, by threads that exist, run after run, also with pools beside each other.
#include "conv/thread_pool.h"

#ifndef _WIN32
#include <sys/wait.h>
#include <unistd.h>
#endif

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <memory>
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

#if !defined(_WIN32) && !defined(__SANITIZE_THREAD__)  // whose threads do not survive a fork
// Whether a child process ends well that does something with a pool of its parent.
template <class Body>
bool child(const Body& body) {
  const pid_t pid = fork();
  if (pid == 0) {
    alarm(60);  // a child that hangs is ended
    _exit(body() ? 0 : 1);
  }
  int status = -1;
  return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

void check_forks(Checks& checks) {
  if (std::getenv("BDUO_TEST_NO_FORKS") != nullptr) {
    std::printf("SKIPPED: forks\n");
    return;
  }
  for (int threads : {1, 2, 4}) {
    auto pool = std::make_unique<ThreadPool>(threads);
    checks.that(runs_all(*pool, 20), "before the fork");
    checks.that(child([&] { return runs_all(*pool, 20) && runs_all(*pool, 20) && pool->threads() == threads; }), "run in a child");
    checks.that(child([&] { return pool.reset(), true; }), "deleted in a child");
    checks.that(child([&] { return runs_all(*pool, 20) && (pool.reset(), true); }), "run, then deleted in a child");
    checks.that(child([&] { return child([&] { return runs_all(*pool, 20); }) && runs_all(*pool, 20); }), "run in a grandchild");
    checks.that(runs_all(*pool, 20), "in the parent after the forks");
  }
}
#else
void check_forks(Checks&) {}
#endif

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
  check_forks(checks);
  return checks.finish("thread_pool_test");
}

}  // namespace
}  // namespace bduo::test

int main() { return bduo::test::main_of_test(); }
