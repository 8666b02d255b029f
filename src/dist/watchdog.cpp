#include "dist/watchdog.h"

#include <algorithm>

#include "dist/watchdog_thread.h"

namespace rstorch::dist {

Watchdog::Watchdog(const Options& options, const std::function<std::string(std::string)>& broadcast) {
  if (options.size < 2) return;
  const milliseconds patience = std::clamp(options.timeout, milliseconds(5000), milliseconds(20'000));
  if (options.rank == 0) {
    thread_ = Thread::hub(options, gather_ranks(options.size, patience, broadcast));
  } else {
    thread_ = Thread::spoke(options, join_rank0(options.rank, options.size, patience, broadcast));
  }
  thread_->start();
}

Watchdog::~Watchdog() {
  if (thread_) thread_->stop();
}

void Watchdog::set_timeout(milliseconds timeout) {
  if (thread_) thread_->set_timeout(timeout);
}

void Watchdog::set_step(int64_t step) {
  if (thread_) thread_->tell([&](Status& status) { status.step = step; });
}

void Watchdog::set_place(std::string_view place) {
  if (thread_) thread_->tell([&](Status& status) { status.place = place; });
}

void Watchdog::started(uint64_t sequence, uint64_t fingerprint, std::string_view what) {
  if (thread_) thread_->started(sequence, fingerprint, what);
}

void Watchdog::completed(uint64_t sequence) {
  if (thread_) thread_->completed(sequence);
}

std::string Watchdog::set_busy(std::string_view what) { return thread_ ? thread_->set_busy(what) : std::string(); }

void Watchdog::check() const {
  if (thread_) thread_->check();
}

bool Watchdog::is_lost() const { return thread_ && thread_->lost(); }

bool Watchdog::is_lost_within(std::chrono::milliseconds time) { return thread_ && thread_->lost_within(time); }

Watchdog::Ending Watchdog::fail(int exit_code, const std::string& report) {
  if (!thread_) return {report, exit_code};
  return thread_->fail(exit_code, report);
}

}  // namespace rstorch::dist
