#include "dist/watchdog_thread.h"

namespace rstorch::dist {
namespace {

constexpr milliseconds kLaterThanRank0{1000};  // rank 0 judges first

}  // namespace

// The other ranks.
class Watchdog::Spoke final : public Watchdog::Thread {
 public:
  Spoke(const Options& options, Group group)
      : Thread(options), group_(std::move(group)), connection_(group_.rank0.connection), heard_(now()) {}

 private:
  bool someone_busy() const override { return busy_; }

  void add_connections(std::vector<pollfd>& all) override {
    if (connection_.is_open()) all.push_back({connection_.socket().number(), connection_.wanted_events(), 0});
  }

  void receive() override {
    if (!connection_.is_open()) return;
    connection_.flush();
    connection_.receive();
    while (const std::optional<Message> message = connection_.next()) {
      heard_ = now();
      handle(*message);
      if (!connection_.is_open()) return;
    }
    if (!connection_.ended()) return;
    const std::string reason = connection_.end();
    connection_.close();
    give_up(format("died: {}", reason), true);
  }

  void handle(const Message& message) {
    if (message.kind == MessageKind::heartbeat) busy_ = Unpacker(message.payload).get<bool>();
    if (message.kind == MessageKind::verdict) conclude(Verdict::unpack(message.payload), false, false);
    if (message.kind == MessageKind::goodbye) {
      rank0_left_after_ = Unpacker(message.payload).get<uint64_t>();
      become_alone();
    }
    // Rank 0 waits for this end to close.
    if (message.kind == MessageKind::verdict || message.kind == MessageKind::goodbye) connection_.close();
  }

  void heartbeat(Status status) override {
    if (!may_send(connection_, status.busy.empty() == said_busy_)) return;
    connection_.send(MessageKind::heartbeat, status.pack());
    sent_status(status);
    said_busy_ = !status.busy.empty();
  }

  void report_failure(const Failure& failure) override {
    if (!connection_.is_open()) return become_alone();
    connection_.send(MessageKind::failure, failure.pack());
  }

  void judge() override {
    if (rank0_left_after_) judge_alone();
    if (!connection_.is_open()) return;
    const auto silence = std::chrono::duration_cast<milliseconds>(now() - heard_);
    const milliseconds limit = timeout() + kLaterThanRank0;
    const bool waits_too_long = last_status().waited > limit && silence > milliseconds(1000);
    // Rank 0 ends a wait of that length, and lives, but has not ended this one.
    const bool not_ended = last_status().waited > limit + milliseconds(5000);
    if (silence <= limit && !waits_too_long && !not_ended) return;
    if (silence > milliseconds(1000)) {
      return give_up(
          format("has not been heard of for {} (the time-out is {}): stopped, or the machine or its network is down",
                 seconds_text(silence), seconds_text(timeout())),
          false);
    }
    give_up(format("does not end a collective that waits for longer than {}", seconds_text(timeout())), false);
  }

  void judge_alone() {
    const Status& status = last_status();
    if (status.oldest_under_way() <= *rank0_left_after_ && status.waited <= timeout() + kLaterThanRank0) return;
    Verdict verdict =
        Verdict::of({format("rank 0 (process {} on {}) has left, but rank {} is at {}{}", group_.rank0.process,
                            group_.rank0.host, rank(), place_text(status), collective()),
                     "all ranks must run the same program with the same config and the same data"});
    conclude(std::move(verdict), true, true);
  }

  void give_up(const std::string& what, bool died) {
    Verdict verdict;
    verdict.message = format("rank 0 (process {} on {}) {}; rank {} is at {}{}", group_.rank0.process,
                             group_.rank0.host, what, rank(), place_text(last_status()), collective());
    if (died) verdict.hint = death_hint(0, group_.rank0.host);
    connection_.send(MessageKind::given_up, verdict.pack());
    conclude(std::move(verdict), true, is_to_report());
  }

  // Where rank 0 is lost others may be too: the first of its machine that notices reports it, and, since all of that
  // may be gone, the first rank on another one.
  bool is_to_report() {
    if (rank() == group_.first_elsewhere) return true;
    if (group_.rank0.host != host_name()) return false;
    claim_ = claim(format("rstorch-{:016x}", group_.token));
    return claim_.is_open();
  }

  std::string collective() {
    const uint64_t sequence = last_status().oldest_under_way();
    if (sequence == 0) return {};
    const std::string what = what_of(sequence);
    return format(", in collective #{}{}{}", sequence, what.empty() ? "" : ", ", what);
  }

  void leave(Status status) override {
    if (!connection_.is_open()) return;
    connection_.send(MessageKind::heartbeat, status.pack());
    connection_.send(MessageKind::goodbye);
    const Time deadline = Clock::now() + kLeaving;
    while (!connection_.ended() && wait_for(connection_.socket(), connection_.wanted_events(), deadline)) {
      connection_.flush();
      if (connection_.all_sent()) connection_.finish_sending();
      connection_.receive();
      while (connection_.next()) {
      }
    }
  }

  Group group_;
  Connection& connection_;
  Descriptor claim_;  // to report for this machine
  Time heard_;
  bool busy_ = false;                         // any rank
  bool said_busy_ = false;                    // this one
  std::optional<uint64_t> rank0_left_after_;  // the last collective that it started
};

std::unique_ptr<Watchdog::Thread> Watchdog::Thread::spoke(const Options& options, Group group) {
  return std::make_unique<Spoke>(options, std::move(group));
}

}  // namespace rstorch::dist
