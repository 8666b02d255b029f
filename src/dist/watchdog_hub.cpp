#include <algorithm>
#include <map>

#include "dist/watchdog_thread.h"

namespace rstorch::dist {
namespace {

constexpr milliseconds kFailuresTogether{200};  // a cause common to all ranks shows within that time

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

}  // namespace

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
      case MessageKind::given_up:  // rank 1's machine has printed it
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
    conclude_for_all(Verdict::of(group_.died(rank, reason, now())));
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

std::unique_ptr<Watchdog::Thread> Watchdog::Thread::hub(const Options& options, std::vector<Peer> peers) {
  return std::make_unique<Hub>(options, std::move(peers));
}

}  // namespace rstorch::dist
