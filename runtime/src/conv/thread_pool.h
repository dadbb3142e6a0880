// A pool of threads that one interpreter owns; the caller's thread works too.
#pragma once

#include <cstdint>
#include <memory>

namespace bduo {

class ThreadPool {
 public:
  // Fewer than 1 means 1, more than limits::kMostThreads means that. A pool that cannot start all its threads has fewer; threads() says
  // how many.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const;

  // Calls task(index, thread) for every index in 0..count-1, thread in 0..threads()-1 being who runs it; returns when all are
  // done. Tasks are taken in order, each by the next idle thread. A pool can have one run at a time. In a process that was forked after the
  // pool was made, the first run starts threads anew, at most as many.
  template <class Task>
  void run(int64_t count, const Task& task) {
    run_raw(count, [](const void* context, int64_t index, int thread) { (*static_cast<const Task*>(context))(index, thread); }, &task);
  }

 private:
  using RawTask = void (*)(const void* context, int64_t index, int thread);
  void run_raw(int64_t count, RawTask task, const void* context);

  struct State;
  void start(int workers);
  bool forked();  // whether this is a child process, in which the state of the parent's threads is then given up

  std::unique_ptr<State> state_;
};

}  // namespace bduo
