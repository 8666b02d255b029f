#include "dist/watchdog_thread.h"

#include <algorithm>
#include <exception>

#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/quiet_thread.h"
#include "dist/last_words.h"

namespace rstorch::dist {
namespace {

constexpr milliseconds kHeartbeat{200};
constexpr milliseconds kAnswer{1000};  // for fail()
constexpr size_t kLongestReport = size_t(1) << 18;

}  // namespace

Watchdog::Thread::Thread(const Options& options)
    : options_(options), timeout_(options.timeout), wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (!wake_.is_open()) throw DistError(format("cannot watch the other ranks: {}", std::strerror(errno)));
  if (!options_.last_resort) options_.last_resort = print_and_exit;
}

void Watchdog::Thread::start() {
  thread_ = quiet_thread([this] { run(); });
  pthread_setname_np(thread_.native_handle(), "rst-watchdog");
}

void Watchdog::Thread::started(uint64_t sequence, uint64_t fingerprint, std::string_view what) {
  const std::lock_guard lock(mutex_);
  mine_.started = std::max(mine_.started, sequence);
  under_way_.insert(sequence);
  Collective& slot = recent_[sequence % recent_.size()];
  slot.sequence = sequence;
  slot.fingerprint = fingerprint;
  slot.what = what;
  ++changes_;
}

std::string Watchdog::Thread::set_busy(std::string_view what) {
  std::string before(what);
  tell([&](Status& status) { std::swap(status.busy, before); });
  if (before != what) wake();
  return before;
}

void Watchdog::Thread::check() {
  if (!lost_.load(std::memory_order_acquire)) return;
  noticed_ = true;
  const std::lock_guard lock(mutex_);
  if (verdict_->failure) throw PeerFailed(verdict_->exit_code, verdict_->message, to_report_);
  throw RankLost(verdict_->message, verdict_->hint, to_report_);
}

bool Watchdog::Thread::lost_within(milliseconds time) {
  std::unique_lock lock(mutex_);
  concluded_.wait_for(lock, time, [&] { return lost() || alone_; });
  return lost();
}

Watchdog::Ending Watchdog::Thread::fail(int exit_code, const std::string& report) {
  std::unique_lock lock(mutex_);
  noticed_ = true;
  own_failure_ = Failure{exit_code, report.substr(0, kLongestReport)};
  wake();
  concluded_.wait_for(lock, kAnswer, [&] { return verdict_ || alone_; });
  told_ = true;
  // Where this rank concluded by itself nobody has seen the report. That of an error of communication says less than
  // the verdict.
  const bool own = !verdict_ || (concluded_here_ && options_.rank != 0 && exit_code != int(ExitCode::distributed));
  if (own) return {report, exit_code};
  return {to_report_ ? verdict_->report() : std::string(), verdict_->exit_code};
}

void Watchdog::Thread::conclude(Verdict verdict, bool here, bool to_report) {
  {
    const std::lock_guard lock(mutex_);
    if (verdict_) return;
    verdict_ = std::move(verdict);
    concluded_here_ = here;
    to_report_ = to_report;
    lost_.store(true, std::memory_order_release);
  }
  concluded_.notify_all();
  concluded_at_ = now();
}

Status Watchdog::Thread::current_status() {
  const std::lock_guard lock(mutex_);
  if (changes_ != seen_changes_) idle_since_ = now();
  seen_changes_ = changes_;
  if (mine_.oldest_under_way() != oldest_) waited_ = {};
  oldest_ = mine_.oldest_under_way();
  Status out = mine_;
  out.idle = std::chrono::duration_cast<milliseconds>(now() - idle_since_);
  out.waited = std::chrono::duration_cast<milliseconds>(waited_);
  const uint64_t forgotten = mine_.started > recent_.size() ? mine_.started - recent_.size() : 0;
  for (uint64_t i = std::max(sent_, forgotten) + 1; i <= mine_.started; ++i) {
    const Collective& one = recent_[i % recent_.size()];
    if (one.sequence == i) out.fresh.push_back(one);
  }
  last_ = out;
  return out;
}

std::string Watchdog::Thread::what_of(uint64_t sequence) {
  const std::lock_guard lock(mutex_);
  const Collective& slot = recent_[sequence % recent_.size()];
  return slot.sequence == sequence ? slot.what : std::string();
}

void Watchdog::Thread::wake() {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(wake_.number(), &one, sizeof one);
}

void Watchdog::Thread::forget_wakes() {
  uint64_t wakes = 0;
  [[maybe_unused]] const ssize_t got = ::read(wake_.number(), &wakes, sizeof wakes);
}

void Watchdog::Thread::run() {
  try {
    while (!stopping_) turn();
    advance_waiting(clock_.advance());
    receive();
    leave(current_status());
  } catch (const std::exception& e) {
    conclude(Verdict::of({format("rank {}'s watchdog cannot go on: {}", rank(), e.what()), {}}), true, true);
  }
}

void Watchdog::Thread::turn() {
  std::vector<pollfd> all = {{wake_.number(), POLLIN, 0}};
  add_connections(all);
  const Time until = std::min(now() + kHeartbeat, std::min(next_beat_, next_event()));
  const milliseconds pause = std::chrono::ceil<milliseconds>(std::max(until - now(), Clock::duration(0)));
  ::poll(all.data(), all.size(), int(pause.count()));
  advance_waiting(clock_.advance());
  const bool woken = all[0].revents != 0;
  if (woken) forget_wakes();
  receive();
  if (woken || now() >= next_beat_) {
    next_beat_ = now() + kHeartbeat;
    send_own_failure();
    heartbeat(current_status());
    if (!lost()) judge();
    if (lost()) consider_last_resort();
  } else if (now() >= next_event() && !lost()) {
    judge();
  }
}

void Watchdog::Thread::advance_waiting(Clock::duration turn) {
  const std::lock_guard lock(mutex_);
  if (mine_.oldest_under_way() == oldest_ && oldest_ != 0 && mine_.busy.empty() && !someone_busy()) waited_ += turn;
}

void Watchdog::Thread::send_own_failure() {
  std::optional<Failure> failure;
  {
    const std::lock_guard lock(mutex_);
    if (!own_failure_ || failure_sent_) return;
    failure_sent_ = true;
    failure = own_failure_;
  }
  if (!lost()) report_failure(*failure);
}

void Watchdog::Thread::consider_last_resort() {
  if (resorted_) return;
  const bool noticed = noticed_;
  if (noticed && !noticed_at_) noticed_at_ = now();
  const Time until = noticed ? *noticed_at_ + options_.unwinding : *concluded_at_ + options_.grace;
  if (now() < until) return;
  resorted_ = true;
  int exit_code = 0;
  std::string text;
  {
    const std::lock_guard lock(mutex_);
    exit_code = verdict_->exit_code;
    if (to_report_ && !told_) text = verdict_->report();
  }
  options_.last_resort(exit_code, text);
}

}  // namespace rstorch::dist
