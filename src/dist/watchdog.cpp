#include "dist/watchdog.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <climits>
#include <condition_variable>
#include <csignal>
#include <exception>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <thread>
#include <vector>

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "dist/group_watch.h"
#include "dist/rendezvous.h"

namespace rstorch::dist {
namespace {

constexpr milliseconds kHeartbeat{200};
constexpr milliseconds kFailuresTogether{200};  // a cause common to all ranks shows within that time
constexpr milliseconds kAnswer{1000};           // for fail()
constexpr milliseconds kLeaving{1000};          // for what was sent last to arrive
constexpr milliseconds kBehindRank0{1000};      // rank 0 judges first
// Of one turn of the thread's loop no more counts: a process that was suspended, or a machine that was, has not waited.
constexpr milliseconds kLongestTurn{1000};
constexpr size_t kLongestReport = size_t(1) << 18;

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

// Each text once, after the ranks that reported it; without them where all ranks did.
std::string joined_reports(const std::map<int, Failure>& failures, int size) {
  std::vector<std::pair<std::string, std::vector<int>>> texts;  // in the order of their lowest ranks
  for (const auto& [rank, failure] : failures) {
    auto known =
        std::find_if(texts.begin(), texts.end(), [&](const auto& text) { return text.first == failure.report; });
    if (known == texts.end()) known = texts.insert(texts.end(), {failure.report, {}});
    known->second.push_back(rank);
  }
  if (texts.size() == 1 && int(failures.size()) == size) return texts[0].first;
  std::vector<std::string> lines;
  for (const auto& [text, ranks] : texts) lines.push_back(format("{}: {}", ranks_text(ranks), text));
  return join(lines, "\n");
}

void print_and_exit(int exit_code, const std::string& text) {
  const std::string line = text.empty() ? text : text + "\n";
  for (size_t done = 0; done < line.size();) {
    pollfd one{STDERR_FILENO, POLLOUT, 0};
    if (::poll(&one, 1, 1000) <= 0) break;  // a pipe that nobody reads must not keep the process
    const ssize_t written = ::write(STDERR_FILENO, line.data() + done, std::min<size_t>(line.size() - done, PIPE_BUF));
    if (written <= 0) break;
    done += size_t(written);
  }
  ::_exit(exit_code);
}

// Whether a heartbeat may go. One at a time: a few bytes under way are retransmitted sooner than many, and what a
// stopped rank does not take must not pile up. News need only have room.
bool may_send(const Connection& connection, bool news) {
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

}  // namespace

// What rank 0 (Hub) and the others (Spoke) have in common: what the main thread says and learns, and the loop.
class Watchdog::Thread {
 public:
  explicit Thread(const Options& options)
      : options_(options), timeout_(options.timeout), wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    if (!wake_.is_open()) throw DistError(format("cannot watch the other ranks: {}", std::strerror(errno)));
    if (!options_.last_resort) options_.last_resort = print_and_exit;
  }
  virtual ~Thread() = default;  // after stop()

  void start() {
    sigset_t all, before;  // the program's signal handlers run on its own threads
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    thread_ = std::thread([this] { run(); });
    pthread_setname_np(thread_.native_handle(), "rst-watchdog");
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }
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
  void started(uint64_t sequence, uint64_t fingerprint, std::string_view what) {
    const std::lock_guard lock(mutex_);
    mine_.started = std::max(mine_.started, sequence);
    under_way_.insert(sequence);
    Collective& slot = recent_[sequence % recent_.size()];
    slot.sequence = sequence;
    slot.fingerprint = fingerprint;
    slot.what = what;
    ++changes_;
  }
  void completed(uint64_t sequence) {
    tell([&](Status& status) {
      under_way_.erase(sequence);
      status.completed = under_way_.empty() ? status.started : *under_way_.begin() - 1;
    });
  }
  std::string set_busy(std::string_view what) {
    std::string before(what);
    tell([&](Status& status) { std::swap(status.busy, before); });
    if (before != what) wake();
    return before;
  }
  void check() {
    if (!lost_.load(std::memory_order_acquire)) return;
    noticed_ = true;
    const std::lock_guard lock(mutex_);
    if (verdict_->failure) throw PeerFailed(verdict_->exit_code, verdict_->message, to_report_);
    throw RankLost(verdict_->message, verdict_->hint, to_report_);
  }
  bool lost() const { return lost_.load(std::memory_order_acquire); }
  Ending fail(int exit_code, const std::string& report) {
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

 protected:
  virtual void add_connections(std::vector<pollfd>& all) = 0;
  virtual void receive() = 0;
  virtual void heartbeat(Status status) = 0;
  virtual void judge() = 0;
  virtual void report_failure(const Failure& failure) = 0;
  virtual void leave(Status status) = 0;
  virtual Time next_event() { return Time::max(); }
  virtual bool someone_busy() const = 0;

  void conclude(Verdict verdict, bool here, bool to_report) {
    {
      const std::lock_guard lock(mutex_);
      if (verdict_) return;
      verdict_ = std::move(verdict);
      concluded_here_ = here;
      to_report_ = to_report;
    }
    lost_.store(true, std::memory_order_release);
    concluded_.notify_all();
    concluded_at_ = now();
  }
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
  Status current_status() {
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
  void sent_status(const Status& status) { sent_ = status.started; }  // its `fresh` need not be said again
  std::string what_of(uint64_t sequence) {
    const std::lock_guard lock(mutex_);
    const Collective& slot = recent_[sequence % recent_.size()];
    return slot.sequence == sequence ? slot.what : std::string();
  }

 private:
  void wake() {
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = ::write(wake_.number(), &one, sizeof one);
  }

  void forget_wakes() {
    uint64_t wakes = 0;
    [[maybe_unused]] const ssize_t got = ::read(wake_.number(), &wakes, sizeof wakes);
  }

  void run() {
    try {
      while (!stopping_) turn();
      advance_waiting(clock_.advance());
      receive();
      leave(current_status());
    } catch (const std::exception& e) {
      conclude(Verdict::of({format("rank {}'s watchdog cannot go on: {}", rank(), e.what()), {}}), true, true);
    }
  }

  void turn() {
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

  void advance_waiting(Clock::duration turn) {
    const std::lock_guard lock(mutex_);
    if (mine_.oldest_under_way() == oldest_ && oldest_ != 0 && mine_.busy.empty() && !someone_busy()) waited_ += turn;
  }

  void send_own_failure() {
    std::optional<Failure> failure;
    {
      const std::lock_guard lock(mutex_);
      if (!own_failure_ || failure_sent_) return;
      failure_sent_ = true;
      failure = own_failure_;
    }
    if (!lost()) report_failure(*failure);
  }

  void consider_last_resort() {
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

// Rank 0.
class Watchdog::Hub final : public Watchdog::Thread {
 public:
  Hub(const Options& options, std::vector<Peer> peers)
      : Thread(options), peers_(std::move(peers)), group_(members(peers_), now()) {}

 private:
  static std::vector<GroupWatch::Member> members(const std::vector<Peer>& peers) {
    std::vector<GroupWatch::Member> out;
    for (const Peer& peer : peers) out.push_back({peer.host, peer.process, {}, {}, false});
    return out;
  }

  bool someone_busy() const override { return group_.anyone_busy(); }
  Time next_event() override { return failures_end_.value_or(Time::max()); }

  void add_connections(std::vector<pollfd>& all) override {
    for (const Peer& peer : peers_) {
      if (peer.connection.is_open())
        all.push_back({peer.connection.socket().number(), peer.connection.wanted_events(), 0});
    }
  }

  void receive() override {
    const bool busy = group_.anyone_busy();
    for (int rank = 1; rank < size(); ++rank) receive_from(rank);
    if (group_.anyone_busy() != busy) beat();
  }

  void receive_from(int rank) {
    Connection& connection = peers_[size_t(rank)].connection;
    if (!connection.is_open()) return;
    connection.flush();
    connection.receive();
    while (const std::optional<Message> message = connection.next()) {
      handle(rank, *message);
      if (!connection.is_open()) return;
    }
    if (!connection.ended()) return;
    const std::string reason = connection.end();
    connection.close();
    if (failures_.count(rank) == 0 && !lost()) peer_died(rank, reason);
  }

  void handle(int rank, const Message& message) {
    switch (message.kind) {
      case MessageKind::heartbeat:
        if (std::optional<Status> status = Status::unpack(message.payload)) update(rank, std::move(*status));
        return;
      case MessageKind::failure:
        add_failure(rank, Failure::unpack(message.payload));
        return;
      case MessageKind::given_up:  // rank 1 prints it
        conclude_for_all(Verdict::unpack(message.payload), rank != 1);
        return;
      case MessageKind::goodbye:
        group_.leave(rank);
        peers_[size_t(rank)].connection.close();
        return;
      default:
        return;
    }
  }

  void update(int rank, Status status) {
    const std::optional<Finding> finding = group_.update(rank, std::move(status), now());
    if (finding) conclude_for_all(Verdict::of(*finding));
  }

  // Other ranks fail because of one that died. Their errors of communication come first, perhaps, but are not the
  // cause.
  void peer_died(int rank, const std::string& reason) {
    const bool is_cause = std::all_of(failures_.begin(), failures_.end(), [](const auto& failure) {
      return failure.second.exit_code == int(ExitCode::distributed);
    });
    if (!is_cause) return;
    group_.update(0, current_status(), now());
    conclude_for_all(Verdict::of(group_.died(rank, reason)));
  }

  void report_failure(const Failure& failure) override { add_failure(rank(), failure); }

  void add_failure(int rank, Failure failure) {
    failures_.emplace(rank, std::move(failure));
    if (!failures_end_) failures_end_ = now() + kFailuresTogether;
    if (int(failures_.size()) == size()) failures_end_ = now();
  }

  void heartbeat(Status status) override {
    sent_status(status);
    update(rank(), std::move(status));
    beat();
  }

  void beat() {
    const bool busy = group_.anyone_busy();
    const bool news = busy != said_busy_;
    const std::string payload = Packer().put(busy).take();
    for (Peer& peer : peers_) {
      if (may_send(peer.connection, news)) peer.connection.send(MessageKind::heartbeat, payload);
    }
    said_busy_ = busy;
  }

  void judge() override {
    if (failures_end_) {
      if (now() < *failures_end_) return;
      Verdict verdict;
      verdict.failure = true;
      verdict.exit_code = failures_.begin()->second.exit_code;
      verdict.message = joined_reports(failures_, size());
      conclude_for_all(std::move(verdict));
      return;
    }
    if (const std::optional<Finding> finding = group_.judge(now(), timeout())) conclude_for_all(Verdict::of(*finding));
  }

  void conclude_for_all(Verdict verdict, bool to_report = true) {
    if (lost()) return;
    const std::string payload = verdict.pack();
    for (Peer& peer : peers_) peer.connection.send(MessageKind::verdict, payload);
    conclude(std::move(verdict), true, to_report);
  }

  void leave(Status status) override {
    const std::string payload = Packer().put(status.started).take();
    for (Peer& peer : peers_) {
      if (!lost()) peer.connection.send(MessageKind::goodbye, payload);
    }
    // Closing while something of the peer is unread would throw away what it has not received yet: it closes first.
    const Time deadline = Clock::now() + kLeaving;
    while (Clock::now() < deadline) {
      std::vector<pollfd> all;
      for (Peer& peer : peers_) {
        Connection& connection = peer.connection;
        connection.flush();
        if (connection.is_open() && connection.all_sent()) connection.finish_sending();
        connection.receive();
        while (connection.next()) {
        }
        if (connection.ended()) connection.close();
      }
      add_connections(all);
      if (all.empty()) return;
      ::poll(all.data(), all.size(), milliseconds_until(deadline));
    }
  }

  std::vector<Peer> peers_;  // [0] has no connection
  GroupWatch group_;
  bool said_busy_ = false;
  std::map<int, Failure> failures_;
  std::optional<Time> failures_end_;
};

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
    const milliseconds limit = timeout() + kBehindRank0;
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
    if (status.oldest_under_way() <= *rank0_left_after_ && status.waited <= timeout() + kBehindRank0) return;
    Verdict verdict =
        Verdict::of({format("rank 0 (process {} on {}) has left, but rank {} is at {}{}", group_.rank0.process,
                            group_.rank0.host, rank(), place_text(status), collective()),
                     "all ranks must run the same program with the same config and the same data"});
    conclude(std::move(verdict), true, true);
  }

  // Rank 1 reports it; and where rank 0's whole machine may be gone, the first rank on another one.
  void give_up(const std::string& what, bool died) {
    Verdict verdict;
    verdict.message = format("rank 0 (process {} on {}) {}; rank {} is at {}{}", group_.rank0.process,
                             group_.rank0.host, what, rank(), place_text(last_status()), collective());
    if (died) verdict.hint = death_hint(0, group_.rank0.host);
    connection_.send(MessageKind::given_up, verdict.pack());
    conclude(std::move(verdict), true, rank() == 1 || (!died && rank() == group_.first_elsewhere));
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
  Time heard_;
  bool busy_ = false;                         // any rank
  bool said_busy_ = false;                    // this one
  std::optional<uint64_t> rank0_left_after_;  // the last collective that it started
};

Watchdog::Watchdog(const Options& options, const std::function<std::string(std::string)>& broadcast) {
  if (options.size < 2) return;
  const milliseconds patience = std::clamp(options.timeout, milliseconds(5000), milliseconds(20'000));
  if (options.rank == 0) {
    thread_ = std::make_unique<Hub>(options, gather_ranks(options.size, patience, broadcast));
  } else {
    thread_ = std::make_unique<Spoke>(options, join_rank0(options.rank, options.size, patience, broadcast));
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

Watchdog::Ending Watchdog::fail(int exit_code, const std::string& report) {
  if (!thread_) return {report, exit_code};
  return thread_->fail(exit_code, report);
}

}  // namespace rstorch::dist
