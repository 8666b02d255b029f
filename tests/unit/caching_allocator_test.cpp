// The caching allocator against a system that a script controls: what the devices' allocators share.
#include "base/caching_allocator.h"

#include <cstdlib>
#include <map>

#include <doctest/doctest.h>

#include "base/error.h"
#include "base/memory_pool.h"

using namespace rstorch;

namespace {

// A system with so many bytes of memory.
class ScriptedAllocator final : public CachingAllocator {
 public:
  explicit ScriptedAllocator(size_t capacity) : left_(capacity) {}
  ~ScriptedAllocator() override {
    for (const auto& [memory, bytes] : blocks_) std::free(memory);  // those a test still holds too
  }

  size_t taken() const { return blocks_.size(); }

 private:
  void* from_system(size_t bytes) override {
    if (bytes > left_) return nullptr;
    left_ -= bytes;
    void* const memory = std::aligned_alloc(64, (bytes + 63) / 64 * 64);
    blocks_[memory] = bytes;
    return memory;
  }
  void to_system(void* memory, size_t bytes) noexcept override {
    CHECK(blocks_.at(memory) == bytes);
    left_ += bytes;
    blocks_.erase(memory);
    std::free(memory);
  }
  std::string place() const override { return "the script"; }

  size_t left_;
  std::map<void*, size_t> blocks_;
};

}  // namespace

TEST_CASE("a released block is handed out again for a size of its bin") {
  ScriptedAllocator memory(1 << 20);
  void* const first = memory.allocate(1000);
  memory.release(first, 1000);
  CHECK(memory.allocate(1010) == first);
  CHECK(memory.allocate(1010) != first);
  CHECK(memory.stats().allocations == 3);
  CHECK(memory.stats().system_allocations == 2);
}

TEST_CASE("a block holds what was asked for and at most a quarter more") {
  ScriptedAllocator memory(size_t(1) << 30);
  for (size_t bytes = 65; bytes < (1 << 20); bytes += bytes / 7 + 1) {
    const size_t before = memory.stats().live_bytes;
    void* const block = memory.allocate(bytes);
    const size_t held = memory.stats().live_bytes - before;
    CHECK(held >= bytes);
    CHECK(held * 4 <= bytes * 5 + 64);
    memory.release(block, bytes);
    CHECK(memory.stats().live_bytes == before);
  }
}

TEST_CASE("no bytes are no memory, and no size is too large for the error") {
  ScriptedAllocator memory(1 << 20);
  CHECK(memory.allocate(0) == nullptr);
  memory.release(nullptr, 0);
  CHECK_THROWS_AS(memory.allocate(~size_t(0)), OutOfMemoryError);
  CHECK_THROWS_AS(memory.allocate(size_t(1) << 63), OutOfMemoryError);
}

TEST_CASE("cached blocks are given back before an allocation fails") {
  ScriptedAllocator memory(4096);
  void* const small = memory.allocate(2048);
  memory.release(small, 2048);
  void* const large = memory.allocate(4096);  // there is room only without the cached block
  CHECK(large != nullptr);
  CHECK(memory.taken() == 1);
  CHECK(memory.stats().reserved_bytes == 4096);
}

TEST_CASE("an error of memory names place, size and what is in use; after it the allocator goes on") {
  ScriptedAllocator memory(4096);
  void* const block = memory.allocate(2048);
  try {
    memory.allocate(4096);
    FAIL("nothing was thrown");
  } catch (const OutOfMemoryError& e) {
    CHECK(std::string(e.what()) ==
          "cannot allocate 4096 bytes on the script: 2048 bytes are in use, at most 2048 bytes were");
    CHECK(e.exit_code() == ExitCode::out_of_memory);
  }
  memory.release(block, 2048);
  CHECK(memory.allocate(2048) == block);
}

TEST_CASE("peak and trim") {
  ScriptedAllocator memory(1 << 20);
  void* const a = memory.allocate(1024);
  void* const b = memory.allocate(2048);
  memory.release(a, 1024);
  CHECK(memory.stats().peak_bytes == 3072);
  memory.reset_peak();
  CHECK(memory.stats().peak_bytes == 2048);
  memory.trim();
  CHECK(memory.taken() == 1);
  CHECK(memory.stats().reserved_bytes == 2048);
  memory.release(b, 2048);
}

TEST_CASE("a pool keeps what it has for itself, until it ends") {
  ScriptedAllocator memory(1 << 20);
  {
    MemoryPool pool(memory);
    void* const block = pool.allocate(1000);
    pool.release(block, 1000);
    CHECK(memory.allocate(1000) != block);
    CHECK(pool.allocate(1000) == block);
    pool.release(block, 1000);
    CHECK(memory.stats().live_bytes == 2 * 1024);
    CHECK(pool.stats().system_allocations == 1);
  }
  CHECK(memory.stats().live_bytes == 1024);
  CHECK(memory.stats().system_allocations == 2);
}

TEST_CASE("a pool gives its free blocks back before an allocation fails, and the error is its source's") {
  ScriptedAllocator memory(4096);
  MemoryPool pool(memory);
  pool.release(pool.allocate(2048), 2048);
  void* const large = pool.allocate(4096);
  CHECK(large != nullptr);
  CHECK_THROWS_WITH_AS(pool.allocate(64),
                       "cannot allocate 64 bytes on the script: 4096 bytes are in use, at most 4096 bytes were",
                       OutOfMemoryError);
  pool.release(large, 4096);
}
