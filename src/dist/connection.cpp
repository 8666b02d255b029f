#include "dist/connection.h"

#include <cerrno>

#include <linux/sockios.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

namespace rstorch::dist {
namespace {

constexpr size_t kHead = sizeof(uint32_t) + sizeof(MessageKind);

}  // namespace

void Connection::close() { *this = Connection(); }

short Connection::wanted_events() const { return short(POLLIN | (unsent_.empty() ? 0 : POLLOUT)); }

void Connection::send(MessageKind kind, std::string_view payload) {
  if (!is_open()) return;
  const uint32_t length = uint32_t(payload.size());
  unsent_.append(reinterpret_cast<const char*>(&length), sizeof length);
  unsent_.push_back(char(kind));
  unsent_.append(payload);
  flush();
}

void Connection::flush() {
  while (is_open() && !unsent_.empty()) {
    const ssize_t sent = ::send(socket_.number(), unsent_.data(), unsent_.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return;
    if (sent < 0) {  // the peer is gone. What it said last can still be read, and then its end.
      unsent_.clear();
      return;
    }
    unsent_.erase(0, size_t(sent));
  }
}

bool Connection::all_arrived() const {
  int bytes = 0;
  return unsent_.empty() && (::ioctl(socket_.number(), SIOCOUTQ, &bytes) != 0 || bytes == 0);
}

void Connection::finish_sending() {
  if (is_open()) ::shutdown(socket_.number(), SHUT_WR);
}

void Connection::receive() {
  constexpr int kMostAtOnce = 16;  // so that one peer cannot keep the others waiting
  for (int i = 0; i < kMostAtOnce && is_open() && !ended(); ++i) {
    char piece[16384];
    const ssize_t got = ::recv(socket_.number(), piece, sizeof piece, MSG_DONTWAIT);
    if (got > 0) received_.append(piece, size_t(got));
    if (got == 0) end_ = "the connection was closed";
    if (got >= 0 || errno == EINTR) continue;
    if (errno != EAGAIN && errno != EWOULDBLOCK) end_ = std::strerror(errno);
    return;
  }
}

std::optional<Message> Connection::next() {
  if (received_.size() < kHead) return std::nullopt;
  uint32_t length = 0;
  std::memcpy(&length, received_.data(), sizeof length);
  if (length > longest_) {
    end_ = "it sent something that no rank sends";
    received_.clear();
    return std::nullopt;
  }
  if (received_.size() < kHead + length) return std::nullopt;
  Message message{MessageKind(received_[sizeof length]), received_.substr(kHead, length)};
  received_.erase(0, kHead + length);
  return message;
}

}  // namespace rstorch::dist
