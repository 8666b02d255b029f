// Messages over a TCP connection that never waits.
//
// A message is its length, its kind and a payload, in the byte order of the machine: all ranks run the same build.
#pragma once

#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>

#include "dist/socket.h"

namespace rstorch::dist {

enum class MessageKind : uint8_t {
  hello = 1,  // a rank names itself and shows the token
  accepted,   // rank 0 knows the rank
  welcome,    // all ranks are there
  sorry,      // rank 0 gives up forming the group, and why
  heartbeat,  // a rank's Status; from rank 0: whether anyone is busy
  failure,    // a rank failed: its exit code and report
  verdict,    // rank 0: the group is lost
  given_up,   // to a rank 0 that was silent: the verdict of the others
  goodbye,    // this rank leaves in good order
};

struct Message {
  MessageKind kind{};
  std::string payload;
};

// Writes and reads payloads, field by field in the same order.
class Packer {
 public:
  template <class T>
  requires std::is_arithmetic_v<T> Packer& put(T value) {
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
    return *this;
  }
  Packer& put(std::string_view text) {
    put(uint32_t(text.size()));
    bytes_.append(text);
    return *this;
  }
  std::string take() { return std::move(bytes_); }

 private:
  std::string bytes_;
};

class Unpacker {
 public:
  explicit Unpacker(std::string_view bytes) : rest_(bytes) {}

  template <class T>
  requires std::is_arithmetic_v<T> T get() {
    T value{};
    const std::string_view raw = take(sizeof value);
    if (!raw.empty()) std::memcpy(&value, raw.data(), sizeof value);
    return value;
  }
  std::string text() { return std::string(take(get<uint32_t>())); }
  bool ok() const { return ok_; }  // false: the payload was too short, and what was missing read as 0 and empty

 private:
  std::string_view take(size_t bytes) {
    if (bytes > rest_.size()) {
      ok_ = false;
      rest_ = {};
      return {};
    }
    const std::string_view out = rest_.substr(0, bytes);
    rest_.remove_prefix(bytes);
    return out;
  }

  std::string_view rest_;
  bool ok_ = true;
};

class Connection {
 public:
  static constexpr size_t kLongestHello = 4096;
  static constexpr size_t kLongest = size_t(1) << 24;

  Connection() = default;
  explicit Connection(Descriptor socket) : socket_(std::move(socket)) {}

  const Descriptor& socket() const { return socket_; }
  bool is_open() const { return socket_.is_open(); }
  void close();
  // How long a message of the peer may be; kLongestHello at first. A longer one ends the connection.
  void trust() { longest_ = kLongest; }

  short wanted_events() const;                                 // POLLIN, and POLLOUT while something waits to be sent
  void send(MessageKind kind, std::string_view payload = {});  // queues it, and sends what goes at once
  void flush();                                                // sends what goes at once
  bool all_sent() const { return unsent_.empty(); }
  bool all_arrived() const;  // all that was sent is at the peer's machine
  void finish_sending();     // the peer reads the end after what was sent

  // Takes what has come; whole messages are then given by next().
  void receive();
  std::optional<Message> next();
  bool ended() const { return !end_.empty(); }     // no more will come; next() may still have some
  const std::string& end() const { return end_; }  // why

 private:
  Descriptor socket_;
  std::string unsent_;
  std::string received_;
  std::string end_;
  size_t longest_ = kLongestHello;
};

}  // namespace rstorch::dist
