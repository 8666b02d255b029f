// How a rank ends whose main thread does not end it: in processes of their own, since each ends with its process.
#include <chrono>
#include <csignal>
#include <exception>
#include <functional>
#include <iostream>
#include <string>
#include <thread>

#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "dist/last_words.h"
#include "dist/start_guard.h"
#include "dist/watchdog.h"

using namespace rstorch;
using std::chrono::milliseconds;
using namespace std::chrono_literals;

namespace {

// A process that runs the body, and what it writes to stderr.
class Child {
 public:
  explicit Child(const std::function<void()>& body) {
    int ends[2];
    REQUIRE(::pipe(ends) == 0);
    std::cout.flush();
    process_ = ::fork();
    REQUIRE(process_ >= 0);
    if (process_ == 0) {
      ::alarm(30);
      for (const int signal : {SIGABRT, SIGSEGV}) std::signal(signal, SIG_DFL);  // doctest's
      ::close(ends[0]);
      ::dup2(ends[1], STDERR_FILENO);
      std::set_terminate(write_handler_and_abort);
      run(body);
    }
    ::close(ends[1]);
    errors_ = ends[0];
  }
  ~Child() { ::close(errors_); }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  pid_t process() const { return process_; }

  // As a shell shows it: 128 + N where signal N ended it.
  int exit_code() {
    char piece[4096];
    ssize_t got = 0;
    while ((got = ::read(errors_, piece, sizeof piece)) > 0) text_.append(piece, size_t(got));
    int status = 0;
    ::waitpid(process_, &status, 0);
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  }
  const std::string& text() const { return text_; }  // after exit_code()

 private:
  [[noreturn]] static void write_handler_and_abort() {
    dist::write_last_words("the handler before");
    std::abort();
  }
  // Nothing that is thrown reaches the test that forked.
  [[noreturn]] static void run(const std::function<void()>& body) noexcept {
    body();
    ::_exit(0);
  }

  pid_t process_ = -1;
  int errors_ = -1;
  std::string text_;
};

}  // namespace

TEST_CASE("a loss that nobody catches ends with its message and exit code, all else as before") {
  const auto uncaught = [](const auto& error) {
    return [error] {
      dist::end_in_order_when_uncaught();
      dist::end_in_order_when_uncaught();  // twice is as once
      throw error;
    };
  };
  Child reports(uncaught(dist::RankLost("rank 1 died", "look there", true)));
  Child silent(uncaught(dist::RankLost("rank 1 died", "look there", false)));
  Child failed(uncaught(dist::PeerFailed(4, "rank 1: error[E0401]: no data", true)));
  Child other(uncaught(std::runtime_error("something else")));
  CHECK(reports.exit_code() == 7);
  CHECK(reports.text() == "error[E0702]: rank 1 died\n   = help: look there\n");
  CHECK(silent.exit_code() == 7);
  CHECK(silent.text() == "");
  CHECK(failed.exit_code() == 4);
  CHECK(failed.text() == "rank 1: error[E0401]: no data\n");
  CHECK(other.exit_code() == 128 + SIGABRT);
  CHECK(other.text() == "the handler before\n");
}

TEST_CASE("a start that does not come to its end") {
  const auto starts = [](int rank, milliseconds limit, milliseconds takes) {
    return [=] {
      const dist::StartGuard guard(rank, 3, limit);
      std::this_thread::sleep_for(takes);
    };
  };
  SUBCASE("ends with one message of the group: rank 0's where it is there") {
    Child first(starts(0, 300ms, 20s)), second(starts(1, 300ms, 20s)), third(starts(2, 300ms, 20s));
    // As under mpirun: nobody outlives the first that ended.
    CHECK(first.exit_code() == 7);
    ::kill(second.process(), SIGKILL);
    ::kill(third.process(), SIGKILL);
    CHECK(first.text().starts_with("error[E0702]: rank 0 of 3 (process "));
    CHECK(first.text().find("within 0.3 s") != std::string::npos);
    CHECK(first.text().find("RSTORCH_START_TIMEOUT") != std::string::npos);
    for (Child* other : {&second, &third}) {
      other->exit_code();
      CHECK(other->text() == "");
    }
  }
  SUBCASE("ends with one message of the machine where rank 0 is missing") {
    Child second(starts(1, 300ms, 20s)), third(starts(2, 300ms, 20s));
    CHECK(second.exit_code() == 7);
    CHECK(third.exit_code() == 7);
    CHECK((second.text().empty() != third.text().empty()));
  }
  SUBCASE("is not missed where it comes in time, or there is no limit") {
    Child in_time(starts(0, 5s, 300ms)), without(starts(0, 0ms, 300ms));
    CHECK(in_time.exit_code() == 0);
    CHECK(without.exit_code() == 0);
  }
  SUBCASE("waits while the process is suspended") {
    Child suspended(starts(0, 1000ms, 800ms));
    std::this_thread::sleep_for(100ms);
    ::kill(suspended.process(), SIGSTOP);
    std::this_thread::sleep_for(1500ms);
    ::kill(suspended.process(), SIGCONT);
    CHECK(suspended.exit_code() == 0);
  }
}
