// Threads that take no signal: the handlers of a program run on the threads that it started itself.
#pragma once

#include <csignal>
#include <thread>
#include <utility>

#include <pthread.h>

namespace rstorch {

template <class F>
std::thread quiet_thread(F&& run) {
  struct AllBlocked {
    sigset_t before;
    AllBlocked() {
      sigset_t all;
      sigfillset(&all);
      pthread_sigmask(SIG_SETMASK, &all, &before);
    }
    ~AllBlocked() { pthread_sigmask(SIG_SETMASK, &before, nullptr); }
  };
  const AllBlocked blocked;  // which the thread inherits
  return std::thread(std::forward<F>(run));
}

}  // namespace rstorch
