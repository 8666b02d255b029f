// The watchdog among real processes: each rank is a forked child, its collectives are counters in shared memory.
#include "dist/watchdog.h"

#include <atomic>
#include <cerrno>
#include <csignal>
#include <functional>
#include <iostream>
#include <mutex>
#include <new>
#include <sstream>
#include <thread>

#include <doctest/doctest.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "dist/group_watch.h"
#include "dist/rendezvous.h"

using namespace rstorch;
using namespace rstorch::dist;
using namespace std::chrono_literals;

namespace {

constexpr const char* kGradients = "all_reduce of the gradients (2.1 MB)";

// What all ranks of a test and the test itself see.
struct Shared {
  std::atomic<int> arrived[64];  // at each collective
  std::atomic<int> flag;
};

void rest() { std::this_thread::sleep_for(2ms); }

// A rank as its process sees it.
struct Rank {
  int rank, size;
  Shared& shared;
  Broadcast broadcast;
  Watchdog::Options options;
  Watchdog* watchdog = nullptr;
  uint64_t collectives = 0;

  void arrive(const char* what = kGradients, uint64_t fingerprint = 7) {
    watchdog->started(++collectives, fingerprint, what);
    ++shared.arrived[collectives];
  }
  void all_reduce() {
    arrive();
    while (shared.arrived[collectives] < size) {
      watchdog->check();
      rest();
    }
    watchdog->completed(collectives);
  }
  void wait_for_ever() const {
    while (true) {
      watchdog->check();
      rest();
    }
  }
  void train(int steps) {
    for (int step = 0; step < steps; ++step) {
      watchdog->set_step(step);
      watchdog->set_place("forward pass of conv1");
      all_reduce();
    }
  }
};

using Body = std::function<void(Rank&)>;

// How a rank ended, as it tells the test.
struct Ended {
  std::string kind = "silent";  // "fine", "lost", "failed", "error"; "silent": it said nothing
  bool to_report = false;
  int exit_code = 0;
  std::string text;
  int wait_status = 0;
};

struct Pipe {
  int ends[2];
  Pipe() { REQUIRE(::pipe(ends) == 0); }
};

void write_all(int to, const std::string& text) {
  REQUIRE(::write(to, text.data(), text.size()) == ssize_t(text.size()));
}

class Ranks {
 public:
  Ranks(int size, const Watchdog::Options& options, const Body& body) {
    ::alarm(60);
    std::cout.flush();  // or the children have it too
    shared_ = new (::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)) Shared{};
    std::vector<Pipe> broadcast(static_cast<size_t>(size));
    for (int rank = 0; rank < size; ++rank) {
      Pipe result;
      const pid_t child = ::fork();
      REQUIRE(child >= 0);
      if (child == 0) run(rank, size, options, body, broadcast, result);
      ::close(result.ends[1]);
      results_.push_back(result.ends[0]);
      children_.push_back(child);
    }
    for (const Pipe& pipe : broadcast) {
      ::close(pipe.ends[0]);
      ::close(pipe.ends[1]);
    }
  }
  ~Ranks() {
    for (size_t rank = 0; rank < children_.size(); ++rank) {
      if (children_[rank] > 0) {
        ::kill(children_[rank], SIGKILL);
        ::waitpid(children_[rank], nullptr, 0);
      }
      ::close(results_[rank]);
    }
    ::munmap(shared_, sizeof *shared_);
    ::alarm(0);
  }
  Ranks(const Ranks&) = delete;
  Ranks& operator=(const Ranks&) = delete;

  Shared& shared() { return *shared_; }
  void send(int rank, int signal) const { ::kill(children_[size_t(rank)], signal); }
  void wait_until_all_are_at(int collective) const {
    while (shared_->arrived[collective] < int(children_.size())) rest();
  }

  // Waits until the rank has said how it ended and its process is gone.
  Ended ended(int rank) {
    std::string said;
    char piece[4096];
    ssize_t got = 0;
    while ((got = ::read(results_[size_t(rank)], piece, sizeof piece)) > 0) said.append(piece, size_t(got));
    Ended out;
    if (!said.empty()) {
      std::istringstream in(said);
      in >> out.kind >> out.to_report >> out.exit_code;
      in.ignore();
      std::getline(in, out.text, '\0');
    }
    ::waitpid(children_[size_t(rank)], &out.wait_status, 0);
    children_[size_t(rank)] = -1;
    return out;
  }

 private:
  [[noreturn]] void run(int rank, int size, Watchdog::Options options, const Body& body, std::vector<Pipe>& pipes,
                        Pipe& result) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::alarm(40);
    ::close(result.ends[0]);
    ::dup2(result.ends[1], STDERR_FILENO);  // what the watchdog itself prints
    options.rank = rank;
    options.size = size;
    const Broadcast broadcast = [&](const std::string& text) {
      if (rank == 0) {
        for (int other = 1; other < size; ++other) write_all(pipes[size_t(other)].ends[1], text + "\n");
        return text;
      }
      std::string line;
      for (char c = 0; ::read(pipes[size_t(rank)].ends[0], &c, 1) == 1 && c != '\n';) line += c;
      return line;
    };
    Rank self{rank, size, *shared_, broadcast, options};
    const auto say = [&](const char* kind, bool to_report, int exit_code, const std::string& text) {
      write_all(result.ends[1], format("{} {} {} {}", kind, int(to_report), exit_code, text));
    };
    try {
      body(self);
      say("fine", false, 0, "");
    } catch (const RankLost& e) {
      say("lost", e.to_report(), int(e.exit_code()), e.what());
    } catch (const PeerFailed& e) {
      say("failed", e.to_report(), int(e.exit_code()), e.report());
    } catch (const std::exception& e) {
      say("error", false, 0, e.what());
    }
    ::_exit(0);
  }

  Shared* shared_;
  std::vector<pid_t> children_;
  std::vector<int> results_;
};

// The body inside a watchdog's life.
Body watched(const std::function<void(Rank&)>& inner) {
  return [inner](Rank& self) {
    Watchdog watchdog(self.options, self.broadcast);
    self.watchdog = &watchdog;
    try {
      inner(self);
    } catch (const RankLost&) {
      std::this_thread::sleep_for(300ms);  // as long as a program takes to report and to end
      throw;
    }
  };
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

void check_lost(const Ended& ended, std::initializer_list<const char*> parts) {
  CAPTURE(ended.text);
  CHECK(ended.kind == "lost");
  CHECK(ended.exit_code == 7);
  for (const char* part : parts) {
    CAPTURE(part);
    CHECK(contains(ended.text, part));
  }
}

void check_lost(const Ended& ended, bool to_report, std::initializer_list<const char*> parts) {
  check_lost(ended, parts);
  CHECK(ended.to_report == to_report);
}

Watchdog::Options with_timeout(milliseconds timeout) {
  Watchdog::Options options;
  options.timeout = timeout;
  return options;
}

double seconds_since(Time start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

// A TCP relay in front of rank 0, whose link can be cut: nothing is lost, but nothing passes.
void relay(Descriptor client, Descriptor server, const std::atomic<int>& cut) {
  while (true) {
    rest();
    if (cut == 1) continue;
    for (const auto& [from, to] : {std::pair(client.number(), server.number()), {server.number(), client.number()}}) {
      char piece[4096];
      const ssize_t got = ::recv(from, piece, sizeof piece, MSG_DONTWAIT);
      if (got == 0 || (got < 0 && errno != EAGAIN)) return;
      if (got > 0 && ::send(to, piece, size_t(got), MSG_NOSIGNAL) != got) return;
    }
  }
}

std::vector<GroupWatch::Member> three_members() {
  std::vector<GroupWatch::Member> members(3);
  for (size_t i = 0; i < members.size(); ++i) {
    members[i].host = "gpu" + std::to_string(i);
    members[i].process = 100 + int64_t(i);
  }
  return members;
}

Status in_collective(uint64_t sequence, milliseconds waited, uint64_t fingerprint = 1) {
  Status status;
  status.step = 3;
  status.started = sequence;
  status.completed = sequence - 1;
  status.waited = waited;
  status.fresh = {{sequence, fingerprint, kGradients}};
  return status;
}

}  // namespace

TEST_CASE("ranks in messages") {
  CHECK(ranks_text({3}) == "rank 3");
  CHECK(ranks_text({0, 1}) == "ranks 0 and 1");
  CHECK(ranks_text({1, 2, 5}) == "ranks 1, 2 and 5");
  CHECK(ranks_text({1, 2, 3, 4}) == "ranks 1 to 4");
}

TEST_CASE("a status comes back as it was sent, and half of one is none") {
  Status status = in_collective(9, 300ms, 77);
  status.place = "forward pass of conv1";
  status.busy = "writing a checkpoint";
  const std::string bytes = status.pack();
  const auto back = Status::unpack(bytes);
  REQUIRE(back);
  CHECK(back->pack() == bytes);
  CHECK_FALSE(Status::unpack(std::string_view(bytes).substr(0, bytes.size() - 1)));
}

TEST_CASE("rank 0's judgement") {
  const Time start{};
  GroupWatch group(three_members(), start);
  for (int rank = 0; rank < 3; ++rank) group.update(rank, in_collective(4, 500ms), start);
  CHECK_FALSE(group.judge(start, 1s));

  SUBCASE("all are in it: the network") {
    for (int rank = 0; rank < 3; ++rank) group.update(rank, in_collective(4, 1100ms), start);
    const auto finding = group.judge(start, 1s);
    REQUIRE(finding);
    CHECK(contains(finding->message, "all ranks are in collective #4, all_reduce of the gradients"));
    CHECK(contains(finding->message, "the network between them is stuck"));
  }
  SUBCASE("one is not in it") {
    Status hangs = in_collective(3, 0ms);
    hangs.completed = 3;
    hangs.idle = 1200ms;
    hangs.place = "reading a batch";
    group = GroupWatch(three_members(), start);
    group.update(0, in_collective(4, 1100ms), start);
    group.update(1, hangs, start);
    group.update(2, in_collective(4, 900ms), start);
    const auto finding = group.judge(start, 1s);
    REQUIRE(finding);
    CHECK(finding->message ==
          "rank 1 (process 101 on gpu1) hangs at step 3 (reading a batch), and did nothing for 1.2 s; rank 0 at step 3 "
          "waits in collective #4, all_reduce of the gradients (2.1 MB) for 1.1 s (the time-out is 1.0 s)");
    Status busy = hangs;
    busy.busy = "writing a checkpoint";
    group.update(1, busy, start);
    CHECK_FALSE(group.judge(start, 1s));
    group.update(1, hangs, start);
    group.leave(1);
    group.update(0, in_collective(4, 0ms), start);
    group.update(2, in_collective(4, 0ms), start);
    const auto gone = group.judge(start, 1s);
    REQUIRE(gone);  // no need to wait
    CHECK(contains(gone->message, "rank 1 (process 101 on gpu1) has left"));
  }
  SUBCASE("silence") {
    group.update(0, in_collective(4, 500ms), start + 1100ms);
    group.update(2, in_collective(4, 500ms), start + 1100ms);
    const auto finding = group.judge(start + 1100ms, 1s);
    REQUIRE(finding);
    CHECK(contains(finding->message, "rank 1 (process 101 on gpu1) has not been heard of for 1.1 s"));
  }
  SUBCASE("a connection that ended: only what was last heard of is known") {
    group.update(0, in_collective(9, 0ms), start + 700ms);
    CHECK(group.died(1, "the connection was closed", start + 700ms).message ==
          "rank 1 (process 101 on gpu1) died: the connection was closed; last heard of 0.7 s ago at step 3, in "
          "collective #4, all_reduce of the gradients (2.1 MB); rank 0 is at step 3, in collective #9, all_reduce of "
          "the gradients (2.1 MB)");
  }
  SUBCASE("different collectives, also when the ranks are apart") {
    for (int rank = 1; rank < 3; ++rank) group.update(rank, in_collective(6, 0ms), start);
    Status late = in_collective(5, 0ms);
    late.fresh = {{5, 1, kGradients}, {6, 2, "broadcast of the weights"}};
    const auto finding = group.update(0, late, start);
    REQUIRE(finding);
    CHECK(contains(finding->message,
                   "as collective #6, rank 1 at step 3 started all_reduce of the gradients (2.1 MB), but "
                   "rank 0 at step 3 started broadcast of the weights"));
  }
}

TEST_CASE("a group of one has nothing to watch") {
  Watchdog watchdog({}, {});
  watchdog.started(1, 1, kGradients);
  watchdog.check();
  CHECK(watchdog.fail(4, "error[E0401]: x").text == "error[E0401]: x");
}

TEST_CASE("a rank that cannot reach rank 0 names every address and why") {
  Listener listener = listen_on_all_addresses();
  const Endpoint rank0{host_name(), 1, listener.port, 5, {{"127.0.0.1", true}, {"::1", true}}, {}};
  listener.socket = Descriptor();
  try {
    join_rank0(1, 2, 300ms, [&](const std::string&) { return rank0.text(); });
    FAIL("it must not connect");
  } catch (const DistError& e) {
    CHECK(contains(e.what(), format("127.0.0.1:{}: Connection refused", rank0.port)));
    CHECK(contains(e.what(), format("[::1]:{}: ", rank0.port)));
    CHECK(contains(e.hint(), "firewall"));
  }
  const auto in_trouble = [](const std::string&) { return std::string("trouble no port"); };
  CHECK_THROWS_WITH_AS(join_rank0(1, 2, 300ms, in_trouble), "no port", DistError);
}

TEST_CASE("rank 0 names the ranks that do not come") {
  CHECK_THROWS_WITH_AS(gather_ranks(4, 100ms, [](std::string text) { return text; }),
                       "ranks 1 to 3 did not connect to rank 0 in time", DistError);
}

TEST_CASE("all leave in good order, whoever is first") {
  Ranks ranks(3, with_timeout(2s), watched([](Rank& self) {
                self.train(5);
                std::this_thread::sleep_for(self.rank * 100ms);
                self.watchdog->check();
              }));
  for (int rank = 0; rank < 3; ++rank) {
    const Ended ended = ranks.ended(rank);
    CAPTURE(ended.text);
    CHECK(ended.kind == "fine");
  }
}

TEST_CASE("a killed rank is named to all, at once") {
  for (const int victim : {1, 0}) {
    CAPTURE(victim);
    Ranks ranks(3, with_timeout(20s), watched([victim](Rank& self) {
                  self.train(3);
                  self.watchdog->set_step(3);
                  ++self.shared.arrived[4];
                  if (self.rank == victim) {
                    while (true) rest();
                  }
                  self.watchdog->started(4, 7, kGradients);
                  self.wait_for_ever();
                }));
    ranks.wait_until_all_are_at(4);
    std::this_thread::sleep_for(450ms);
    int reports = 0;
    const Time killed = Clock::now();
    ranks.send(victim, SIGKILL);
    for (int rank = 0; rank < 3; ++rank) {
      if (rank == victim) continue;
      CAPTURE(rank);
      const std::string name = format("rank {} (process ", victim);
      const Ended ended = ranks.ended(rank);
      check_lost(ended, {name.c_str(), "died", "step 3", kGradients});
      reports += ended.to_report;
      if (victim != 0) CHECK(ended.to_report == (rank == 0));
    }
    CHECK(reports == 1);
    CHECK(seconds_since(killed) < 1);
  }
}

TEST_CASE("rank 0 and others that are killed together are reported once, by whoever is left") {
  for (const int first_left : {2, 3}) {
    CAPTURE(first_left);
    Ranks ranks(4, with_timeout(20s), watched([](Rank& self) {
                  self.train(3);
                  self.wait_for_ever();
                }));
    ranks.wait_until_all_are_at(3);
    std::this_thread::sleep_for(300ms);
    int reports = 0;
    for (int rank = 0; rank < first_left; ++rank) ranks.send(rank, SIGKILL);
    for (int rank = first_left; rank < 4; ++rank) {
      const Ended ended = ranks.ended(rank);
      check_lost(ended, {"rank 0 (process ", "died"});
      reports += ended.to_report;
    }
    CHECK(reports == 1);
  }
}

TEST_CASE("a stopped rank is named after the time-out") {
  for (const int victim : {2, 0}) {
    CAPTURE(victim);
    Ranks ranks(3, with_timeout(1s), watched([](Rank& self) {
                  self.train(60);
                  self.wait_for_ever();
                }));
    ranks.wait_until_all_are_at(10);
    int reports = 0;
    const Time stopped = Clock::now();
    ranks.send(victim, SIGSTOP);
    for (int rank = 0; rank < 3; ++rank) {
      if (rank == victim) continue;
      CAPTURE(rank);
      const std::string name = format("rank {} (process ", victim);
      const Ended ended = ranks.ended(rank);
      check_lost(ended, {name.c_str(), "has not been heard of for"});
      reports += ended.to_report;
      if (victim != 0) CHECK(ended.to_report == (rank == 0));
    }
    CHECK(reports == 1);
    CHECK(seconds_since(stopped) < 4);
    if (victim != 0) continue;
    ranks.send(0, SIGCONT);  // and learns it when it goes on
    check_lost(ranks.ended(0), false, {"rank 0 (process ", "has not been heard of for"});
  }
}

TEST_CASE("a rank that hangs in its main thread is named with its place") {
  Ranks ranks(3, with_timeout(1s), watched([](Rank& self) {
                self.train(4);
                self.watchdog->set_step(4);
                if (self.rank == 1) {
                  self.watchdog->set_place("reading a batch");
                  self.wait_for_ever();
                }
                self.all_reduce();
              }));
  for (int rank = 0; rank < 3; ++rank) {
    check_lost(ranks.ended(rank), rank == 0,
               {"rank 1 (process ", "hangs at step 4 (reading a batch)", "waits in collective #5, all_reduce"});
  }
}

TEST_CASE("ranks that start different collectives") {
  Ranks ranks(3, with_timeout(20s), watched([](Rank& self) {
                self.train(2);
                if (self.rank == 2) self.arrive("broadcast of the weights", 8);
                if (self.rank != 2) self.arrive();
                self.wait_for_ever();
              }));
  for (int rank = 0; rank < 3; ++rank) {
    check_lost(
        ranks.ended(rank), rank == 0,
        {"the ranks do not do the same: as collective #3", "started broadcast of the weights", kGradients, "rank 2"});
  }
}

TEST_CASE("while a rank is busy the others wait") {
  Ranks ranks(3, with_timeout(1s), watched([](Rank& self) {
                self.train(2);
                if (self.rank == 1) {
                  const Watchdog::Busy busy(*self.watchdog, "writing a checkpoint");
                  { const Watchdog::Busy inner(*self.watchdog, "writing its state"); }
                  std::this_thread::sleep_for(1800ms);
                }
                self.all_reduce();
              }));
  for (int rank = 0; rank < 3; ++rank) {
    const Ended ended = ranks.ended(rank);
    CAPTURE(ended.text);
    CHECK(ended.kind == "fine");
  }
}

TEST_CASE("a failure reaches all, and is reported once") {
  for (const int failing : {1, 0}) {
    CAPTURE(failing);
    Ranks ranks(3, with_timeout(20s), watched([failing](Rank& self) {
                  self.train(2);
                  if (self.rank != failing) self.wait_for_ever();
                  const Watchdog::Ending ending = self.watchdog->fail(4, "error[E0403]: no such file");
                  throw PeerFailed(ending.exit_code, ending.text, !ending.text.empty());
                }));
    for (int rank = 0; rank < 3; ++rank) {
      CAPTURE(rank);
      const Ended ended = ranks.ended(rank);
      CHECK(ended.kind == "failed");
      CHECK(ended.exit_code == 4);
      CHECK(ended.to_report == (rank == 0));
      if (rank == failing && rank != 0)
        CHECK(ended.text.empty());
      else
        CHECK(ended.text == format("rank {}: error[E0403]: no such file", failing));
    }
  }
}

TEST_CASE("ranks that fail alike report it once, without naming ranks") {
  Ranks ranks(3, with_timeout(20s), watched([](Rank& self) {
                self.train(2);
                const Watchdog::Ending ending = self.watchdog->fail(3, "error[E0301]: bad config");
                throw PeerFailed(ending.exit_code, ending.text, !ending.text.empty());
              }));
  for (int rank = 0; rank < 3; ++rank) {
    const Ended ended = ranks.ended(rank);
    CHECK(ended.exit_code == 3);
    CHECK(ended.text == (rank == 0 ? "error[E0301]: bad config" : ""));
  }
}

TEST_CASE("ranks that fail differently are all heard, and errors of communication do not hide a death") {
  Ranks ranks(4, with_timeout(20s), watched([](Rank& self) {
                self.train(2);
                if (self.rank == 0) self.wait_for_ever();
                const Watchdog::Ending ending =
                    self.watchdog->fail(self.rank == 3 ? 5 : 4, self.rank == 3 ? "no memory" : "no file");
                throw PeerFailed(ending.exit_code, ending.text, false);
              }));
  CHECK(ranks.ended(0).text == "ranks 1 and 2: no file\nrank 3: no memory");
  for (int rank = 1; rank < 4; ++rank) CHECK(ranks.ended(rank).exit_code == 4);

  Ranks dying(3, with_timeout(20s), watched([](Rank& self) {
                self.train(2);
                if (self.rank == 2) {
                  while (self.shared.flag == 0) rest();
                  ::raise(SIGKILL);
                }
                if (self.rank == 1) {
                  self.shared.flag = 1;
                  self.watchdog->fail(7, "error[E0701]: MPI says no");
                }
                self.wait_for_ever();
              }));
  check_lost(dying.ended(0), true, {"rank 2 (process ", "died"});
  check_lost(dying.ended(1), false, {"rank 2 (process ", "died"});
}

TEST_CASE("a rank that leaves while others wait for it is named") {
  for (const int leaver : {1, 0}) {
    CAPTURE(leaver);
    Ranks ranks(2, with_timeout(20s), watched([leaver](Rank& self) {
                  self.train(2);
                  if (self.rank == leaver) return;
                  self.all_reduce();
                }));
    CHECK(ranks.ended(leaver).kind == "fine");
    check_lost(ranks.ended(1 - leaver), true,
               {format("rank {} (process ", leaver).c_str(), "has left", "collective #3"});
  }
}

TEST_CASE("strangers are refused and harm nothing") {
  Ranks ranks(3, with_timeout(5s), [](Rank& self) {
    const auto meddle = [&](const std::string& text) {
      const Endpoint rank0 = Endpoint::parse(text);
      const auto is_refused = [&](const std::string& bytes) {
        const Descriptor socket = start_connecting(rank0.addresses.back().text, rank0.port);
        if (!wait_for(socket, POLLOUT, Clock::now() + 2s)) return false;
        if (::send(socket.number(), bytes.data(), bytes.size(), MSG_NOSIGNAL) < 0) return false;
        char answer = 0;
        return wait_for(socket, POLLIN, Clock::now() + 2s) && ::recv(socket.number(), &answer, 1, 0) <= 0;
      };
      const auto hello = [&](uint64_t token, int32_t rank) {
        const std::string payload = Packer()
                                        .put(uint64_t(0x676f642d6b637472))
                                        .put(uint32_t(1))
                                        .put(token)
                                        .put(rank)
                                        .put(int32_t(3))
                                        .put(int64_t(1))
                                        .put("elsewhere")
                                        .take();
        return Packer().put(uint32_t(payload.size())).put(uint8_t(MessageKind::hello)).take() + payload;
      };
      if (!is_refused("GET / HTTP/1.1\r\n\r\n")) throw UsageError("HTTP was not refused");
      if (!is_refused(std::string(1 << 16, '\0'))) throw UsageError("zeros were not refused");
      if (!is_refused(hello(rank0.token + 1, 1))) throw UsageError("a wrong token was not refused");
      if (!is_refused(hello(rank0.token, 3))) throw UsageError("a wrong rank was not refused");
      return text;
    };
    std::vector<Descriptor> silent;
    Watchdog watchdog(self.options, [&](const std::string& mine) {
      const std::string text = self.broadcast(mine);
      if (self.rank == 1) {
        const Endpoint rank0 = Endpoint::parse(text);
        silent.push_back(start_connecting(rank0.addresses.back().text, rank0.port));  // says nothing
        return meddle(text);
      }
      return text;
    });
    self.watchdog = &watchdog;
    self.train(3);
  });
  for (int rank = 0; rank < 3; ++rank) {
    const Ended ended = ranks.ended(rank);
    CAPTURE(ended.text);
    CHECK(ended.kind == "fine");
  }
}

TEST_CASE("a rank that does not come to the others is named once") {
  Ranks ranks(3, with_timeout(5s), [](Rank& self) {
    if (self.rank == 1) return;
    Watchdog(self.options, self.broadcast);
  });
  for (const int rank : {0, 2}) {
    CAPTURE(rank);
    check_lost(ranks.ended(rank), rank == 0, {"rank 1 did not connect to rank 0 in time"});
  }
}

TEST_CASE("a link that is cut for less than the time-out loses nothing") {
  Ranks ranks(2, with_timeout(2s), [](Rank& self) {
    std::jthread proxy;  // ends with the connection
    Watchdog watchdog(self.options, [&](const std::string& mine) {
      const std::string text = self.broadcast(mine);
      if (self.rank == 0) return text;
      Endpoint rank0 = Endpoint::parse(text);
      auto server = std::make_shared<Descriptor>(start_connecting(rank0.addresses.back().text, rank0.port));
      auto listener = std::make_shared<Listener>(listen_on_all_addresses());
      proxy = std::jthread([&, server, listener] {
        wait_for(listener->socket, POLLIN, Clock::now() + 5s);
        relay(accept_one(listener->socket), std::move(*server), self.shared.flag);
      });
      rank0.port = listener->port;
      rank0.addresses = {{"127.0.0.1", true}};
      return rank0.text();
    });
    self.watchdog = &watchdog;
    self.train(2);
    self.shared.flag = 1;
    std::this_thread::sleep_for(1500ms);
    self.shared.flag = 0;
    self.train(2);
    std::this_thread::sleep_for(700ms);
    self.watchdog->check();
  });
  for (int rank = 0; rank < 2; ++rank) {
    const Ended ended = ranks.ended(rank);
    CAPTURE(ended.text);
    CHECK(ended.kind == "fine");
  }
}

TEST_CASE("a main thread that does not come is ended") {
  Watchdog::Options options = with_timeout(20s);
  options.grace = 300ms;
  Ranks ranks(3, options, watched([](Rank& self) {
                self.train(2);
                if (self.rank == 2) ::raise(SIGKILL);
                while (true) ::pause();
              }));
  for (int rank = 0; rank < 2; ++rank) {
    const Ended ended = ranks.ended(rank);
    REQUIRE(WIFEXITED(ended.wait_status));
    CHECK(WEXITSTATUS(ended.wait_status) == 7);
    CAPTURE(ended.kind);
    CHECK((ended.kind == "error[E0702]:") == (rank == 0));  // the first word of what it wrote to stderr
  }
}

TEST_CASE("ranks may be threads of one process, and the last resort may be another") {
  std::mutex mutex;
  std::vector<std::string> last_words;
  std::atomic<int> resorts = 0;
  std::atomic<bool> told = false;
  std::string text;
  const auto broadcast = [&](int rank, std::string mine) {
    if (rank == 0) {
      const std::lock_guard lock(mutex);
      text = mine;
      told = true;
    }
    while (!told) rest();
    return text;
  };
  ::alarm(60);
  std::vector<std::thread> threads;
  for (int rank = 0; rank < 3; ++rank) {
    threads.emplace_back([&, rank] {
      Watchdog::Options options;
      options.rank = rank;
      options.size = 3;
      options.grace = options.unwinding = 100ms;
      options.last_resort = [&](int exit_code, const std::string& words) {
        const std::lock_guard lock(mutex);
        last_words.push_back(format("{} {}", exit_code, words));
        ++resorts;
      };
      Watchdog watchdog(options, [&](std::string mine) { return broadcast(rank, std::move(mine)); });
      if (rank == 1) watchdog.fail(4, "error[E0401]: broken");
      while (resorts < 3) rest();  // also rank 1's, which came, but does not end
    });
  }
  for (std::thread& thread : threads) thread.join();
  ::alarm(0);
  std::sort(last_words.begin(), last_words.end());
  CHECK(last_words == std::vector<std::string>{"4 ", "4 ", "4 rank 1: error[E0401]: broken"});
}
