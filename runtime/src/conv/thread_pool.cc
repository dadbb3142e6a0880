// Threads that spin shortly for the next run, since a network's layers follow at once, and then sleep.
#include "conv/thread_pool.h"

#include <pthread.h>
#ifndef _WIN32
#include <unistd.h>
#endif

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <new>
#include <vector>

#include "file_limits.h"

namespace bduo {
namespace {

constexpr int kSpins = 2000;

inline void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Windows has no fork, so that a process is always the same one there.
inline int64_t process() {
#ifdef _WIN32
  return 0;
#else
  return getpid();
#endif
}

}  // namespace

struct ThreadPool::State {
  const int64_t owner = process();  // the process whose threads these are

  struct Worker {
    State* state;
    int thread;
    pthread_t handle;
  };

  std::vector<Worker> workers;

  // The run under way is written by run_raw before `generation` is raised, and read by workers after they see it.
  RawTask task = nullptr;
  const void* context = nullptr;
  int64_t count = 0;
  std::atomic<int64_t> next{0};
  std::atomic<int> working{0};  // workers that have not finished this generation

  std::atomic<uint64_t> generation{0};
  std::atomic<bool> stop{false};
  std::mutex mutex;
  std::condition_variable wake, done;

  void take_tasks(int thread) {
    for (int64_t i = next.fetch_add(1, std::memory_order_relaxed); i < count; i = next.fetch_add(1, std::memory_order_relaxed)) {
      task(context, i, thread);
    }
  }

  // Spins, then sleeps on `condition`, until ready().
  template <class Ready>
  void wait(std::condition_variable& condition, Ready ready) {
    for (int spin = 0; spin < kSpins; ++spin) {
      if (ready()) return;
      relax();
    }
    std::unique_lock<std::mutex> lock(mutex);
    condition.wait(lock, ready);
  }

  void work(int thread) {
    for (uint64_t seen = 0;;) {
      wait(wake, [&] { return generation.load(std::memory_order_acquire) != seen || stop.load(std::memory_order_acquire); });
      if (stop.load(std::memory_order_acquire)) return;
      seen = generation.load(std::memory_order_acquire);
      take_tasks(thread);
      if (working.fetch_sub(1, std::memory_order_acq_rel) == 1) {
        std::lock_guard<std::mutex> lock(mutex);
        done.notify_one();
      }
    }
  }
};

void ThreadPool::start(int workers) {
  state_.reset(new State);
  state_->workers.resize(static_cast<size_t>(workers));  // no reallocation: threads hold pointers to their entry
  int started = 0;
  for (; started < workers; ++started) {
    State::Worker& worker = state_->workers[static_cast<size_t>(started)];
    worker.state = state_.get();
    worker.thread = started + 1;
    const auto body = [](void* argument) -> void* {
      const State::Worker* self = static_cast<State::Worker*>(argument);
      self->state->work(self->thread);
      return nullptr;
    };
    if (pthread_create(&worker.handle, nullptr, body, &worker) != 0) break;
  }
  state_->workers.resize(static_cast<size_t>(started));
}

ThreadPool::ThreadPool(int threads) { start(std::min(std::max(threads, 1), limits::kMostThreads) - 1); }

ThreadPool::~ThreadPool() {
  if (forked()) return;
  {
    std::lock_guard<std::mutex> lock(state_->mutex);
    state_->stop.store(true, std::memory_order_release);
  }
  state_->wake.notify_all();
  for (State::Worker& worker : state_->workers) pthread_join(worker.handle, nullptr);
}

// A child process has a copy of the pool, but none of its threads, and a mutex that one of them may have held. Nothing can be done with
// that state any more, not even free it.
bool ThreadPool::forked() {
  if (state_->owner == process()) return false;
  static_cast<void>(state_.release());
  return true;
}

int ThreadPool::threads() const { return static_cast<int>(state_->workers.size()) + 1; }

void ThreadPool::run_raw(int64_t count, RawTask task, const void* context) {
  const int workers = threads() - 1;
  if (count > 1 && workers > 0 && forked()) start(workers);
  State& state = *state_;
  if (count <= 1 || state.workers.empty()) {
    for (int64_t i = 0; i < count; ++i) task(context, i, 0);
    return;
  }
  state.task = task;
  state.context = context;
  state.count = count;
  state.next.store(0, std::memory_order_relaxed);
  state.working.store(static_cast<int>(state.workers.size()), std::memory_order_relaxed);
  {
    std::lock_guard<std::mutex> lock(state.mutex);
    state.generation.fetch_add(1, std::memory_order_release);
  }
  state.wake.notify_all();
  state.take_tasks(0);
  state.wait(state.done, [&] { return state.working.load(std::memory_order_acquire) == 0; });
}

}  // namespace bduo
