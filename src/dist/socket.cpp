#include "dist/socket.h"

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <memory>

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/error.h"

namespace rstorch::dist {
namespace {

void set_option(int socket, int level, int name, int value) {
  ::setsockopt(socket, level, name, &value, sizeof value);  // each is a nicety: older kernels lack some
}

// A link that comes back must be noticed soon, whatever the time-out. TCP doubles its pause between retransmissions, so
// that a cut of 3 s may be felt for 6. The first option (Linux 6.15) bounds the pause, the second keeps it from growing
// in the first six while there is little under way, which is so with one message at a time.
void hurry(int socket) {
  constexpr int kRtoMaxMs = 44;  // TCP_RTO_MAX_MS, not in older headers
  set_option(socket, IPPROTO_TCP, TCP_NODELAY, 1);
  set_option(socket, IPPROTO_TCP, kRtoMaxMs, 1000);
  set_option(socket, IPPROTO_TCP, TCP_THIN_LINEAR_TIMEOUTS, 1);
}

Descriptor try_listen(int family) {
  Descriptor socket(::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket.is_open()) return {};
  if (family == AF_INET6) set_option(socket.number(), IPPROTO_IPV6, IPV6_V6ONLY, 0);
  sockaddr_storage any{};  // all zeros: any address, any port
  any.ss_family = sa_family_t(family);
  const socklen_t bytes = family == AF_INET6 ? sizeof(sockaddr_in6) : sizeof(sockaddr_in);
  if (::bind(socket.number(), reinterpret_cast<const sockaddr*>(&any), bytes) != 0) return {};
  if (::listen(socket.number(), SOMAXCONN) != 0) return {};
  return socket;
}

}  // namespace

std::vector<Address> local_addresses() {
  ifaddrs* first = nullptr;
  if (::getifaddrs(&first) != 0) return {};
  const std::unique_ptr<ifaddrs, void (*)(ifaddrs*)> list(first, ::freeifaddrs);
  std::vector<Address> out;
  for (const ifaddrs* i = first; i; i = i->ifa_next) {
    if (!i->ifa_addr || !(i->ifa_flags & IFF_UP)) continue;
    const int family = i->ifa_addr->sa_family;
    const void* raw = nullptr;
    if (family == AF_INET) raw = &reinterpret_cast<const sockaddr_in*>(i->ifa_addr)->sin_addr;
    if (family == AF_INET6) raw = &reinterpret_cast<const sockaddr_in6*>(i->ifa_addr)->sin6_addr;
    if (!raw || (family == AF_INET6 && IN6_IS_ADDR_LINKLOCAL(static_cast<const in6_addr*>(raw)))) continue;
    char text[INET6_ADDRSTRLEN] = {};
    if (::inet_ntop(family, raw, text, sizeof text)) out.push_back({text, (i->ifa_flags & IFF_LOOPBACK) != 0});
  }
  std::stable_partition(out.begin(), out.end(), [](const Address& address) { return !address.loopback; });
  return out;
}

std::string host_name() {
  char name[256] = {};
  return ::gethostname(name, sizeof name - 1) == 0 ? name : "unknown";
}

// An abstract name of a local socket: it needs no file, and is free again with the process.
Descriptor claim(const std::string& name) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const size_t length = name.copy(address.sun_path + 1, sizeof address.sun_path - 1);
  Descriptor socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  const auto bytes = socklen_t(offsetof(sockaddr_un, sun_path) + 1 + length);
  if (::bind(socket.number(), reinterpret_cast<const sockaddr*>(&address), bytes) != 0) return {};
  return socket;
}

Listener listen_on_all_addresses() {
  Listener listener{try_listen(AF_INET6)};
  if (!listener.socket.is_open()) listener.socket = try_listen(AF_INET);  // a machine without IPv6
  sockaddr_storage bound{};
  socklen_t bytes = sizeof bound;
  if (!listener.socket.is_open() ||
      ::getsockname(listener.socket.number(), reinterpret_cast<sockaddr*>(&bound), &bytes) != 0) {
    throw DistError(format("rank 0 cannot listen for the other ranks on TCP: {}", std::strerror(errno)));
  }
  listener.port = ntohs(bound.ss_family == AF_INET6 ? reinterpret_cast<const sockaddr_in6&>(bound).sin6_port
                                                    : reinterpret_cast<const sockaddr_in&>(bound).sin_port);
  return listener;
}

Descriptor accept_one(const Descriptor& listener) {
  Descriptor socket(::accept4(listener.number(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (socket.is_open()) hurry(socket.number());
  return socket;
}

Descriptor start_connecting(const std::string& address, uint16_t port) {
  sockaddr_in v4{};
  sockaddr_in6 v6{};
  const bool is_v4 = ::inet_pton(AF_INET, address.c_str(), &v4.sin_addr) == 1;
  if (!is_v4 && ::inet_pton(AF_INET6, address.c_str(), &v6.sin6_addr) != 1) {
    errno = EAFNOSUPPORT;
    return {};
  }
  v4.sin_family = AF_INET;
  v6.sin6_family = AF_INET6;
  v4.sin_port = v6.sin6_port = htons(port);
  Descriptor socket(::socket(is_v4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket.is_open()) return {};
  hurry(socket.number());
  const auto* target = is_v4 ? reinterpret_cast<const sockaddr*>(&v4) : reinterpret_cast<const sockaddr*>(&v6);
  const socklen_t bytes = is_v4 ? sizeof v4 : sizeof v6;
  if (::connect(socket.number(), target, bytes) != 0 && errno != EINPROGRESS && errno != EINTR) return {};
  return socket;
}

int connection_error(const Descriptor& socket) {
  int error = 0;
  socklen_t bytes = sizeof error;
  return ::getsockopt(socket.number(), SOL_SOCKET, SO_ERROR, &error, &bytes) == 0 ? error : errno;
}

bool wait_for(const Descriptor& socket, short events, Time deadline) {
  while (true) {
    pollfd one{socket.number(), events, 0};
    const int ready = ::poll(&one, 1, milliseconds_until(deadline));
    if (ready > 0) return true;
    if (ready == 0 || errno != EINTR) return false;
  }
}

int milliseconds_until(Time deadline) {
  const auto left = std::chrono::ceil<milliseconds>(deadline - Clock::now()).count();
  return int(std::clamp<int64_t>(left, 0, 60'000));
}

}  // namespace rstorch::dist
