#include "cli/relay.h"

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>

#include <fcntl.h>
#include <unistd.h>

#include "base/error.h"

namespace rstorch::cli {

Relay::Relay() : streams_{Stream{STDOUT_FILENO}, Stream{STDERR_FILENO}} {
  for (Stream& stream : streams_) {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw DistError(format("cannot make a pipe: {}", std::strerror(errno)));
    stream.from = Descriptor(ends[0]);
    stream.jobs_side = Descriptor(ends[1]);
    ::fcntl(ends[0], F_SETFL, O_NONBLOCK);
  }
}

void Relay::redirect() const {
  for (const Stream& stream : streams_) ::dup2(stream.jobs_side.number(), stream.to);
}

void Relay::close_jobs_side() {
  for (Stream& stream : streams_) stream.jobs_side = Descriptor();
}

void Relay::add_to(std::vector<pollfd>& all) const {
  for (const Stream& stream : streams_) {
    if (!stream.unsent.empty())
      all.push_back({stream.to, POLLOUT, 0});
    else if (stream.from.is_open())
      all.push_back({stream.from.number(), POLLIN, 0});
  }
}

void Relay::pass_on() {
  for (Stream& stream : streams_) {
    stream.read();
    stream.write();
  }
}

bool Relay::all_passed_on() const {
  return std::ranges::all_of(streams_, [](const Stream& stream) { return stream.empty && stream.unsent.empty(); });
}

void Relay::Stream::read() {
  empty = !from.is_open();
  if (empty || !unsent.empty()) return;
  char piece[1 << 16];
  const ssize_t got = ::read(from.number(), piece, sizeof piece);
  empty = got <= 0;
  if (got == 0) from = Descriptor();
  if (got > 0 && error == 0) unsent.assign(piece, size_t(got));
}

void Relay::Stream::write() {
  while (!unsent.empty()) {
    pollfd one{to, POLLOUT, 0};
    if (::poll(&one, 1, 0) != 1) return;
    // A pipe that is ready takes so much without a wait.
    const ssize_t written = ::write(to, unsent.data(), std::min<size_t>(unsent.size(), PIPE_BUF));
    if (written < 0 && (errno == EINTR || errno == EAGAIN)) return;
    if (written < 0) error = errno;
    unsent.erase(0, written < 0 ? unsent.npos : size_t(written));
  }
}

}  // namespace rstorch::cli
