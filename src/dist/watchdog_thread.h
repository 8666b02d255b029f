// A watchdog's thread, on rank 0 (Hub) and on the others (Spoke). Internal to the watchdog.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <poll.h>

#include "dist/group_watch.h"
#include "dist/rendezvous.h"
#include "dist/watchdog.h"

namespace rstorch::dist {

constexpr milliseconds kLeaving{1000};  // for what was sent last to arrive
// Of one turn of the thread's loop no more counts: a process that was suspended, or a machine that was, has not waited.
constexpr milliseconds kLongestTurn{1000};

// Why the group is lost.
struct Verdict {
  bool failure = false;  // of ranks that said so; else RankLost
  int exit_code = int(ExitCode::distributed);
  std::string message;  // for a failure: the reports
  std::string hint;

  std::string pack() const { return Packer().put(failure).put(exit_code).put(message).put(hint).take(); }
  static Verdict unpack(std::string_view payload) {
    Unpacker in(payload);
    Verdict out;
    out.failure = in.get<bool>();
    out.exit_code = in.get<int>();
    out.message = in.text();
    out.hint = in.text();
    return out;
  }
  static Verdict of(Finding finding) {
    Verdict out;
    out.message = std::move(finding.message);
    out.hint = std::move(finding.hint);
    return out;
  }
  std::string report() const { return failure ? message : RankLost(message, hint, true).report(); }
};

struct Failure {
  int exit_code;
  std::string report;

  std::string pack() const { return Packer().put(exit_code).put(report).take(); }
  static Failure unpack(std::string_view payload) {
    Unpacker in(payload);
    const int exit_code = in.get<int>();
    return {exit_code, in.text()};
  }
};

// Whether a heartbeat may go. One at a time: a few bytes under way are retransmitted sooner than many, and what a
// stopped rank does not take must not pile up. News need only have room.
inline bool may_send(const Connection& connection, bool news) {
  return connection.is_open() && (news ? connection.all_sent() : connection.all_arrived());
}

// Time that passes only while the thread runs.
class AwakeClock {
 public:
  Time now() const { return now_; }
  Clock::duration advance() {
    const Time real = Clock::now();
    const auto turn = std::min<Clock::duration>(real - real_, kLongestTurn);
    real_ = real;
    now_ += turn;
    return turn;
  }

 private:
  Time real_ = Clock::now();
  Time now_ = real_;
};

// What rank 0 (Hub) and the others (Spoke) have in common: what the main thread says and learns, and the loop.
class Watchdog::Thread {
 public:
  static std::unique_ptr<Thread> hub(const Options& options, std::vector<Peer> peers);
  static std::unique_ptr<Thread> spoke(const Options& options, Group group);

  explicit Thread(const Options& options);
  virtual ~Thread() = default;  // after stop()

  void start();
  void stop() {
    stopping_ = true;
    wake();
    thread_.join();
  }

  // The main thread's side.

  void set_timeout(milliseconds timeout) { timeout_ = timeout; }
  template <class Change>
  void tell(const Change& change) {
    const std::lock_guard lock(mutex_);
    change(mine_);
    ++changes_;
  }
  void started(uint64_t sequence, uint64_t fingerprint, std::string_view what);
  void completed(uint64_t sequence) {
    tell([&](Status& status) {
      under_way_.erase(sequence);
      status.completed = under_way_.empty() ? status.started : *under_way_.begin() - 1;
    });
  }
  std::string set_busy(std::string_view what);
  void check();
  bool lost() const { return lost_.load(std::memory_order_acquire); }
  bool lost_within(milliseconds time);
  Ending fail(int exit_code, const std::string& report);

 protected:
  virtual void add_connections(std::vector<pollfd>& all) = 0;
  virtual void receive() = 0;
  virtual void heartbeat(Status status) = 0;
  virtual void judge() = 0;
  virtual void report_failure(const Failure& failure) = 0;
  virtual void leave(Status status) = 0;
  virtual Time next_event() { return Time::max(); }
  virtual bool someone_busy() const = 0;

  void conclude(Verdict verdict, bool here, bool to_report);
  void become_alone() {
    const std::lock_guard lock(mutex_);
    alone_ = true;
    concluded_.notify_all();
  }
  Time now() const { return clock_.now(); }
  milliseconds timeout() const { return timeout_; }
  int rank() const { return options_.rank; }
  int size() const { return options_.size; }
  const Status& last_status() const { return last_; }
  // A copy of what the main thread said, with what is new since the last copy.
  Status current_status();
  void sent_status(const Status& status) { sent_ = status.started; }  // its `fresh` need not be said again
  std::string what_of(uint64_t sequence);

 private:
  void wake();
  void forget_wakes();
  void run();
  void turn();
  void advance_waiting(Clock::duration turn);
  void send_own_failure();
  void consider_last_resort();

  Options options_;
  std::atomic<milliseconds> timeout_;
  Descriptor wake_;
  std::thread thread_;
  std::atomic<bool> stopping_ = false;
  std::atomic<bool> lost_ = false;
  std::atomic<bool> noticed_ = false;

  std::mutex mutex_;  // of what follows
  std::condition_variable concluded_;
  std::set<uint64_t> under_way_;
  Status mine_;  // without `idle`, `waited` and `fresh`
  std::array<Collective, Status::kRemembered> recent_;
  uint64_t changes_ = 0;
  std::optional<Failure> own_failure_;
  bool failure_sent_ = false;
  bool told_ = false;   // fail() returned what is to be printed
  bool alone_ = false;  // rank 0 has left
  std::optional<Verdict> verdict_;
  bool concluded_here_ = false;
  bool to_report_ = false;

  // The thread's own.
  AwakeClock clock_;
  Time next_beat_{};
  Time idle_since_ = clock_.now();
  uint64_t seen_changes_ = 0;
  uint64_t oldest_ = 0;  // the collective that waited_ is about
  Clock::duration waited_{};
  uint64_t sent_ = 0;
  Status last_;
  std::optional<Time> concluded_at_, noticed_at_;
  bool resorted_ = false;
};

}  // namespace rstorch::dist
