// Notices that a training of several processes (ranks) cannot go on, and ends it everywhere with one message.
//
// MPI and NCCL wait for ever for a rank that died, was stopped, hangs, or does something else than the others. So each
// rank has a thread that tells rank 0, over TCP connections of its own, what the rank is doing; rank 0 compares, judges
// and tells all. What it finds comes out of check(), which every loop that waits for other ranks calls.
//
// The object must outlive the training's try block: a rank that destroys it leaves in good order, also while an
// exception travels, and is not missed before the others wait for it. Once rank 0 has left nobody watches.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/error.h"

namespace rstorch::dist {

// A rank died, is silent, hangs, or does something else than the others. The same message on all ranks.
class RankLost : public DistError {
 public:
  RankLost(const std::string& message, std::string hint, bool to_report)
      : DistError(message, std::move(hint), 2), to_report_(to_report) {}
  // Whether this rank is the one to print it: rank 0, or where that is lost one of its machine and one elsewhere.
  bool to_report() const { return to_report_; }
  // Without the module in which this rank was waiting.
  std::string report() const override { return Error(code(), what(), hint()).report(); }

 private:
  bool to_report_;
};

// Other ranks called fail(). The exit code is theirs (of the lowest of them).
class PeerFailed : public Error {
 public:
  PeerFailed(int exit_code, const std::string& reports, bool to_report)
      : Error(100 * exit_code + 1, reports), to_report_(to_report) {}
  bool to_report() const { return to_report_; }  // on rank 0
  // What those ranks reported, each text once and after the names of its ranks, as in "rank 1: error[E0403]: ...".
  std::string report() const override { return what(); }

 private:
  bool to_report_;
};

class Watchdog {
 public:
  struct Options {
    int rank = 0;
    int size = 1;
    // How long a collective may wait for a rank, and how long a rank may be silent.
    std::chrono::milliseconds timeout{300'000};
    // How long, once the group is lost, the main thread may take to come to check() or fail(), and from there to
    // destroy this object. It may hang in a collective, in the kernel or in a device: `last_resort` then ends the
    // process.
    std::chrono::milliseconds grace{1500};
    std::chrono::milliseconds unwinding{10'000};
    // Called at most once, on the watchdog's thread, with the text to print (empty: another rank prints it). Empty:
    // writes the text to stderr and calls _exit.
    std::function<void(int exit_code, const std::string& text)> last_resort;
  };

  // On all ranks at once. `broadcast` is called once on each, with a text on rank 0 and "" elsewhere, and returns rank
  // 0's text. Throws DistError, RankLost where one is missing, where the ranks do not find each other within 20 s, or
  // `timeout` where that is less (but 5 s). A group of one has no thread, and nothing happens in it.
  Watchdog(const Options& options, const std::function<std::string(std::string)>& broadcast);
  ~Watchdog();  // within about a second
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

  // The functions below may be called by any thread. All but fail() and is_lost_within() return at once.

  void set_timeout(std::chrono::milliseconds timeout);  // rank 0's counts; the others must have the same

  // What this rank is doing, for the message: "at step 12 (forward pass of conv1)".
  void set_step(int64_t step);
  void set_place(std::string_view place);

  // Collectives are numbered from 1, and a number is the same collective on all ranks. They may complete in any order;
  // for the others one counts as complete once all before it are. `fingerprint`: a hash of what must be the same on all
  // ranks (kind, dtype, count). `what`: for people, "all_reduce of the gradients of 2.weight (2.1 MB)".
  void started(uint64_t sequence, uint64_t fingerprint, std::string_view what);
  void completed(uint64_t sequence);

  // While a rank is busy ("writing a checkpoint") the others wait for it without limit: their time stands still. A rank
  // that is silent is lost all the same. Returns what it was busy with before; "" is nothing.
  std::string set_busy(std::string_view what);
  class Busy {
   public:
    Busy(Watchdog& watchdog, std::string_view what) : watchdog_(watchdog), before_(watchdog.set_busy(what)) {}
    ~Busy() { watchdog_.set_busy(before_); }
    Busy(const Busy&) = delete;
    Busy& operator=(const Busy&) = delete;

   private:
    Watchdog& watchdog_;
    std::string before_;
  };

  // Throws RankLost or PeerFailed once the group is lost, each time. An atomic load otherwise.
  void check() const;
  // Whether check() would throw: for threads beside the one that trains, which is the one that has to come to check().
  bool is_lost() const;
  // Waits so long for the group to be lost: for errors whose cause another rank may be about to tell.
  bool is_lost_within(std::chrono::milliseconds time);

  // This rank fails. All other ranks get a PeerFailed. Returns when rank 0 has answered, within about a second.
  struct Ending {
    std::string text;  // for this rank to print; empty: another rank prints it
    int exit_code;
  };
  Ending fail(int exit_code, const std::string& report);

 private:
  class Thread;
  class Hub;
  class Spoke;
  std::unique_ptr<Thread> thread_;  // null in a group of one
};

}  // namespace rstorch::dist
