// TCP sockets as the watchdog needs them: they never wait, never raise SIGPIPE, and do not outlive an exec.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "base/descriptor.h"

namespace rstorch::dist {

using Clock = std::chrono::steady_clock;
using Time = Clock::time_point;
using std::chrono::milliseconds;

struct Address {
  std::string text;  // numeric, IPv4 or IPv6
  bool loopback = false;
};

// Of the interfaces that are up, loopback last. Without IPv6's link-local ones, which mean something on this machine
// only.
std::vector<Address> local_addresses();
std::string host_name();
// Open on the first that claims the name on this machine, as long as that one lives and keeps it.
Descriptor claim(const std::string& name);

struct Listener {
  Descriptor socket;
  uint16_t port = 0;
};
Listener listen_on_all_addresses();                 // at a port that the system picks; throws DistError
Descriptor accept_one(const Descriptor& listener);  // not open: nobody waits, or the call failed (errno)
// Not yet connected: that is so when the socket takes writes and connection_error() is 0. Not open: errno.
Descriptor start_connecting(const std::string& address, uint16_t port);
int connection_error(const Descriptor& socket);  // an errno
// Whether one of `events` came before the deadline.
bool wait_for(const Descriptor& socket, short events, Time deadline);
int milliseconds_until(Time deadline);  // for poll(): rounded up, never below 0

}  // namespace rstorch::dist
