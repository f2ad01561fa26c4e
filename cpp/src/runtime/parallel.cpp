#include "tenfold/parallel.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>

#ifdef _OPENMP
#include <omp.h>
#endif
#ifdef __linux__
#include <sched.h>
#endif
#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#include <unistd.h>
#endif
#if defined(__SSE__)
#include <xmmintrin.h>
#endif

#include "tenfold/error.h"

namespace tenfold {
namespace {

constexpr int kMaxThreads = 1024;

// CPUs that a container's quota pays for, or kMaxThreads without one (cgroup v2, then v1).
int cgroup_quota() {
  double quota = -1, period = -1;
  if (std::ifstream file("/sys/fs/cgroup/cpu.max"); file) {
    std::string first;
    if (file >> first >> period && first != "max") quota = std::atof(first.c_str());
  } else {
    std::ifstream quota_file("/sys/fs/cgroup/cpu/cpu.cfs_quota_us");
    std::ifstream period_file("/sys/fs/cgroup/cpu/cpu.cfs_period_us");
    if (!(quota_file >> quota) || !(period_file >> period)) quota = -1;
  }
  if (quota <= 0 || period <= 0) return kMaxThreads;
  return std::max(1, static_cast<int>(std::ceil(quota / period)));
}

int affinity() {
#ifdef __linux__
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return std::max(1, CPU_COUNT(&set));
#endif
#if defined(__unix__) || defined(__APPLE__)
  return std::max(1, static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN)));
#else
  return 1;
#endif
}

int default_threads() {
  if (const char* text = std::getenv("TENFOLD_NUM_THREADS"); text && *text) {
    char* end = nullptr;
    const long threads = std::strtol(text, &end, 10);
    if (*end == '\0' && threads >= 1 && threads <= kMaxThreads) return static_cast<int>(threads);
    std::fprintf(stderr, "tenfold: TENFOLD_NUM_THREADS must be an integer from 1 to %d; ignoring '%s'\n",
                 kMaxThreads, text);
  }
  return std::min(affinity(), cgroup_quota());
}

// libgomp's threads do not survive fork(): a child that opened a region would wait for them for ever.
bool forked = false;

int& configured_threads() {
  static int threads = [] {
#if defined(__unix__) || defined(__APPLE__)
    pthread_atfork(nullptr, nullptr, [] { forked = true; });
#endif
    return default_threads();
  }();
  return threads;
}

// Denormals make a convolution several times slower: flush them to zero while a region runs.
class FlushDenormals {
 public:
#if defined(__SSE__)
  FlushDenormals() : saved_(_mm_getcsr()) { _mm_setcsr(saved_ | 0x8040); }
  ~FlushDenormals() { _mm_setcsr(saved_); }

 private:
  unsigned saved_;
#elif defined(__aarch64__)
  FlushDenormals() {
    __asm__ volatile("mrs %0, fpcr" : "=r"(saved_));
    const unsigned long long flushed = saved_ | (1ull << 24);
    __asm__ volatile("msr fpcr, %0" : : "r"(flushed));
  }
  ~FlushDenormals() { __asm__ volatile("msr fpcr, %0" : : "r"(saved_)); }

 private:
  unsigned long long saved_;
#endif
};

// Orders stores past the caches, which no release does, before those that follow.
void drain_stores() {
#if defined(__SSE__)
  _mm_sfence();
#endif
}

void pause() {
#if defined(__SSE__)
  _mm_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

}  // namespace

int num_threads() {
  return forked ? 1 : configured_threads();
}

void set_num_threads(int threads) {
  if (threads < 1 || threads > kMaxThreads) {
    reject("set_num_threads", "threads", "must be from 1 to ", kMaxThreads, "; received ", threads);
  }
  configured_threads() = threads;
}

void Progress::begin(int members) {
  present_ = members;
  for (int member = 0; member < members; ++member) {
    claimed(member).store(0, std::memory_order_relaxed);
    finished_[static_cast<std::size_t>(member)].value.store(0, std::memory_order_relaxed);
    std::fill_n(before(member), members, index{0});
  }
}

void Progress::report(int member, index pieces) {
  drain_stores();
  finished_[static_cast<std::size_t>(member)].value.store(pieces, std::memory_order_release);
}

// A member goes on only when all pieces of a loop are finished, so the sum counts none of a later one before.
bool Progress::reached(index pieces) const {
  for (int member = 0; member < present_; ++member)
    pieces -= finished_[static_cast<std::size_t>(member)].value.load(std::memory_order_acquire);
  return pieces <= 0;
}

bool Progress::wait_briefly(index pieces) const {
  constexpr int kSpins = 10;
  for (int i = 0; i < kSpins; ++i) {
    if (reached(pieces)) return true;
    pause();
  }
  return false;
}

void Progress::wait(index pieces) const {
  constexpr int kSpins = 2000;  // some tens of microseconds: longer than members are usually apart
  for (int i = 0; !reached(pieces); ++i) {
    if (i < kSpins) {
      pause();
    } else {
      std::this_thread::yield();
    }
  }
}

bool Team::claim(int owner, index size, index* first, index* last) const {
  std::atomic<index>& claimed = progress_->claimed(owner);
  const index before = before_[owner];
  index now = claimed.load(std::memory_order_relaxed);
  while (now - before < size) {
    const index take = std::max<index>(1, (before + size - now) / 8);
    if (claimed.compare_exchange_weak(now, now + take, std::memory_order_acq_rel,
                                      std::memory_order_relaxed)) {
      *first = now - before;
      *last = now - before + take;
      return true;
    }
  }
  return false;
}

void Team::end_loop(index count) const {
  for (int owner = 0; owner < size_; ++owner) {
    before_[owner] += share_begin(count, owner + 1) - share_begin(count, owner);
  }
  progress_->wait(all_before_);
}

namespace detail {

void run_region(bool alone, void (*body)(void*, const Team&), void* context) {
#ifdef _OPENMP
  const int threads = alone ? 1 : num_threads();
  if (threads > 1 && !omp_in_parallel()) {
    // A region takes less than a microsecond, allocating a tenth of that.
    thread_local std::unique_ptr<Progress> kept;
    if (!kept || kept->capacity() < threads) kept = std::make_unique<Progress>(threads);
    kept->begin(threads);
    Progress* const progress = kept.get();
#pragma omp parallel num_threads(threads)
    {
      FlushDenormals guard;
      body(context, Team(omp_get_thread_num(), omp_get_num_threads(), progress));
    }
    return;
  }
#endif
  static_cast<void>(alone);
  FlushDenormals guard;
  body(context, Team::alone());
  drain_stores();
}

}  // namespace detail
}  // namespace tenfold
