// A block of threads as fibers of the calling thread. They take turns, and change where a real block waits.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <vector>

#include <cuda_runtime_api.h>
#include <ucontext.h>

namespace fake_cuda {
namespace {

constexpr size_t kStack = size_t(128) << 10;
constexpr unsigned kWarps = kBlockThreads / kWarpThreads;

class Block {
 public:
  void run(const std::function<void()>& body) {
    body_ = &body;
    left_ = 0;
    std::fill(std::begin(left_of_warp_), std::end(left_of_warp_), 0);
    for (unsigned i = 0; i < kBlockThreads; ++i) {
      Fiber& fiber = fibers_[i];
      fiber.done = false;
      getcontext(&fiber.context);
      fiber.context.uc_stack = {.ss_sp = fiber.stack.get(), .ss_flags = 0, .ss_size = kStack};
      fiber.context.uc_link = nullptr;
      makecontext(
          &fiber.context, [] { block().enter(); }, 0);
    }
    resume(0, home_);
  }

  void wait_for_block() { wait(all_, kBlockThreads, left_); }
  void wait_for_warp(unsigned warp) { wait(warps_[warp], kWarpThreads, left_of_warp_[warp]); }

  static Block& block() {
    thread_local Block block;
    return block;
  }

  unsigned char words[2][kBlockThreads][kMostExchanged];
  unsigned turn[kBlockThreads] = {};

 private:
  struct Fiber {
    ucontext_t context;
    std::unique_ptr<char[]> stack{new char[kStack]};
    bool done = true;
  };

  void wait(Barrier& barrier, unsigned threads, unsigned left) {
    if (left > 0) die("a thread waits for others that have returned");
    if (++barrier.arrived == threads) {
      barrier.arrived = 0;
      ++barrier.generation;
      return;
    }
    const unsigned generation = barrier.generation;
    while (barrier.generation == generation) next();
  }
  void enter() {
    (*body_)();
    if (all_.arrived + warps_[threadIdx.x / kWarpThreads].arrived > 0)
      die("a thread has returned while others wait for it");
    fibers_[threadIdx.x].done = true;
    ++left_of_warp_[threadIdx.x / kWarpThreads];
    if (++left_ == kBlockThreads) setcontext(&home_);
    next();
  }
  void next() {
    unsigned to = threadIdx.x;
    do to = (to + 1) % kBlockThreads;
    while (fibers_[to].done);
    resume(to, fibers_[threadIdx.x].context);
  }
  void resume(unsigned to, ucontext_t& from) {
    const unsigned self = threadIdx.x;
    threadIdx.x = to;
    swapcontext(&from, &fibers_[to].context);
    threadIdx.x = self;
  }
  [[noreturn]] static void die(const char* what) {
    std::fprintf(stderr, "fake CUDA: %s\n", what);
    std::abort();
  }

  std::vector<Fiber> fibers_{kBlockThreads};
  const std::function<void()>* body_ = nullptr;
  unsigned left_ = 0, left_of_warp_[kWarps] = {};  // threads that have returned
  Barrier all_, warps_[kWarps];
  ucontext_t home_;
};

}  // namespace

void run_block(const std::function<void()>& body) { Block::block().run(body); }

void wait_for_block() { Block::block().wait_for_block(); }

const void* exchange(const void* value, size_t bytes, unsigned lane) {
  Block& block = Block::block();
  const unsigned self = threadIdx.x, warp = self / kWarpThreads;
  // Two sets of words in turn: a thread that is ahead by one exchange does not overwrite what others still read.
  auto& words = block.words[block.turn[self]++ % 2];
  __builtin_memcpy(words[self], value, bytes);
  block.wait_for_warp(warp);
  return words[warp * kWarpThreads + lane % kWarpThreads];
}

}  // namespace fake_cuda
