#include "train/stop_signals.h"

#include <atomic>
#include <ctime>

#include <unistd.h>

namespace rstorch {
namespace {

constexpr std::time_t kGrace = 30;  // seconds: whoever ends a group of processes may send SIGTERM several times

std::atomic<int> received = 0;
std::atomic<std::time_t> first_terminate = 0;  // 0: none came
static_assert(std::atomic<int>::is_always_lock_free && std::atomic<std::time_t>::is_always_lock_free,
              "a signal handler may only use lock-free atomics");

std::time_t uptime() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec;
}

void handle(int signal) {
  const int before = received.exchange(signal);
  if (signal == SIGINT && before == SIGINT) _exit(128 + SIGINT);
  if (signal != SIGTERM) return;
  std::time_t first = 0;
  const bool again = !first_terminate.compare_exchange_strong(first, uptime());
  if (again && uptime() - first >= kGrace) _exit(128 + SIGTERM);
}

struct sigaction our_action() {
  struct sigaction action {};
  action.sa_handler = handle;
  action.sa_flags = SA_RESTART;
  return action;
}

}  // namespace

StopSignals::StopSignals() {
  const struct sigaction action = our_action();
  for (size_t i = 0; i < kSignals.size(); ++i) {
    ::sigaction(kSignals[i], &action, &previous_[i]);
    if (kSignals[i] == SIGHUP && previous_[i].sa_handler == SIG_IGN) ::sigaction(SIGHUP, &previous_[i], nullptr);
  }
}

StopSignals::~StopSignals() {
  for (size_t i = 0; i < kSignals.size(); ++i) ::sigaction(kSignals[i], &previous_[i], nullptr);
  received = 0;
  first_terminate = 0;
}

void StopSignals::expect_usr1() {
  const struct sigaction action = our_action();
  ::sigaction(SIGUSR1, &action, nullptr);
}

bool StopSignals::requested() const { return received != 0; }

std::string_view StopSignals::name() const {
  switch (received) {
    case SIGTERM:
      return "SIGTERM";
    case SIGINT:
      return "SIGINT";
    case SIGUSR1:
      return "SIGUSR1";
    case SIGHUP:
      return "SIGHUP";
    default:
      return {};
  }
}

}  // namespace rstorch
