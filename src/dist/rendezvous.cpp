#include "dist/rendezvous.h"

#include <algorithm>
#include <cerrno>
#include <map>
#include <random>
#include <sstream>

#include <poll.h>
#include <unistd.h>

#include "base/error.h"
#include "dist/group_watch.h"
#include "dist/watchdog.h"

namespace rstorch::dist {
namespace {

constexpr uint64_t kMagic = 0x676f642d6b637472;
constexpr uint32_t kProtocol = 1;
constexpr milliseconds kHelloWithin{5000};  // a connection that says nothing for so long is closed
constexpr size_t kMostStrangers = 256;      // connections that have not said who they are; the oldest make room
constexpr const char* kUnreachableHint =
    "the ranks must reach each other over TCP at any port: is there a firewall between them?";

struct Hello {
  uint64_t token = 0;
  int32_t rank = 0, size = 0;
  int64_t process = 0;
  std::string host;

  std::string pack() const {
    return Packer().put(kMagic).put(kProtocol).put(token).put(rank).put(size).put(process).put(host).take();
  }
  static std::optional<Hello> unpack(const Message& message) {
    Unpacker in(message.payload);
    const bool known =
        message.kind == MessageKind::hello && in.get<uint64_t>() == kMagic && in.get<uint32_t>() == kProtocol;
    if (!known) return std::nullopt;
    Hello out;
    out.token = in.get<uint64_t>();
    out.rank = in.get<int32_t>();
    out.size = in.get<int32_t>();
    out.process = in.get<int64_t>();
    out.host = in.text();
    if (!in.ok()) return std::nullopt;
    return out;
  }
};

uint64_t random_token() {
  std::random_device source;
  return (uint64_t(source()) << 32) | source();
}

// Rank 0 while the others arrive.
class Reception {
 public:
  Reception(int size, uint64_t token, Listener listener) : token_(token), listener_(std::move(listener)) {
    peers_.resize(size_t(size));
    peers_[0].host = host_name();
    peers_[0].process = ::getpid();
  }

  std::vector<Peer> receive_all(Time deadline) {
    while (!missing().empty()) {
      if (Clock::now() >= deadline) give_up();
      wait(deadline);
      accept_strangers();
      for (Stranger& stranger : strangers_) greet(stranger);
      std::erase_if(strangers_, [](const Stranger& stranger) { return !stranger.connection.is_open(); });
      // A rank that did not hear the answer comes again, from another address.
      for (Peer& peer : peers_) {
        peer.connection.receive();
        if (peer.connection.ended()) peer.connection.close();
      }
    }
    for (Peer& peer : peers_) peer.connection.send(MessageKind::welcome, Packer().put(first_elsewhere()).take());
    return std::move(peers_);
  }

 private:
  struct Stranger {
    Connection connection;
    Time until;
  };

  std::vector<int> missing() const {
    std::vector<int> out;
    for (size_t rank = 1; rank < peers_.size(); ++rank) {
      if (!peers_[rank].connection.is_open()) out.push_back(int(rank));
    }
    return out;
  }

  int32_t first_elsewhere() const {
    for (size_t rank = 1; rank < peers_.size(); ++rank) {
      if (peers_[rank].host != peers_[0].host) return int32_t(rank);
    }
    return -1;
  }

  void wait(Time deadline) const {
    std::vector<pollfd> all = {{listener_.socket.number(), POLLIN, 0}};
    for (const Stranger& stranger : strangers_) {
      all.push_back({stranger.connection.socket().number(), POLLIN, 0});
      deadline = std::min(deadline, stranger.until);
    }
    for (const Peer& peer : peers_) {
      if (peer.connection.is_open()) all.push_back({peer.connection.socket().number(), POLLIN, 0});
    }
    ::poll(all.data(), all.size(), milliseconds_until(deadline));
  }

  void accept_strangers() {
    while (true) {
      Descriptor socket = accept_one(listener_.socket);
      if (!socket.is_open()) {
        if (errno == EMFILE || errno == ENFILE)
          throw DistError("rank 0 has no file descriptors left for the other ranks", "raise the limit: `ulimit -n`");
        return;
      }
      if (strangers_.size() == kMostStrangers) strangers_.erase(strangers_.begin());
      strangers_.push_back({Connection(std::move(socket)), Clock::now() + kHelloWithin});
    }
  }

  void greet(Stranger& stranger) {
    Connection& connection = stranger.connection;
    connection.receive();
    const std::optional<Message> message = connection.next();
    if (!message) {
      if (connection.ended() || Clock::now() >= stranger.until) connection.close();
      return;
    }
    const std::optional<Hello> hello = Hello::unpack(*message);
    const int size = int(peers_.size());
    if (!hello || hello->token != token_ || hello->size != size || hello->rank < 1 || hello->rank >= size) {
      connection.close();
      return;
    }
    connection.trust();
    connection.send(MessageKind::accepted, Packer().put(token_).take());
    peers_[size_t(hello->rank)] = {hello->host, hello->process, std::move(connection)};
    connection.close();
  }

  [[noreturn]] void give_up() {
    const std::string text = format("{} did not connect to rank 0 in time", ranks_text(missing()));
    for (Peer& peer : peers_) peer.connection.send(MessageKind::sorry, text);
    throw RankLost(text, kUnreachableHint, true);
  }

  uint64_t token_;
  Listener listener_;
  std::vector<Peer> peers_;
  std::vector<Stranger> strangers_;
};

std::string address_text(const Address& address, uint16_t port) {
  const bool v6 = address.text.find(':') != std::string::npos;
  return v6 ? format("[{}]:{}", address.text, port) : format("{}:{}", address.text, port);
}

// Why there is no connection comes as text.
struct Attempt {
  Connection connection;
  std::string failure;
};

Attempt try_address(const Address& address, const Endpoint& rank0, const Hello& hello, Time deadline) {
  const auto fail = [](std::string reason) { return Attempt{{}, std::move(reason)}; };
  Descriptor socket = start_connecting(address.text, rank0.port);
  if (!socket.is_open()) return fail(std::strerror(errno));
  if (!wait_for(socket, POLLOUT, deadline)) return fail("no answer");
  if (const int error = connection_error(socket); error != 0) return fail(std::strerror(error));
  Connection connection(std::move(socket));
  connection.send(MessageKind::hello, hello.pack());
  while (wait_for(connection.socket(), POLLIN, deadline)) {
    connection.receive();
    if (const std::optional<Message> answer = connection.next()) {
      const bool known =
          answer->kind == MessageKind::accepted && Unpacker(answer->payload).get<uint64_t>() == rank0.token;
      if (!known) return fail("that is not rank 0");
      connection.trust();
      return {std::move(connection), {}};
    }
    if (connection.ended()) return fail(connection.end());
  }
  return fail("connected, but no answer");
}

Connection connect_to_rank0(const Endpoint& rank0, const Hello& hello, Time deadline) {
  std::vector<Address> addresses = rank0.addresses;
  if (rank0.host != hello.host) std::erase_if(addresses, [](const Address& address) { return address.loopback; });
  std::map<std::string, std::string> failures;
  // A firewall may leave an address without an answer: each gets little time at first, and more in the next round.
  for (milliseconds limit{1000};; limit *= 2) {
    for (const Address& address : addresses) {
      Attempt attempt = try_address(address, rank0, hello, std::min(deadline, Clock::now() + limit));
      if (attempt.connection.is_open()) return std::move(attempt.connection);
      failures[address_text(address, rank0.port)] = attempt.failure;
    }
    if (addresses.empty() || Clock::now() + milliseconds(100) >= deadline) break;
    ::poll(nullptr, 0, 100);
  }
  std::vector<std::string> tried;
  for (const auto& [address, failure] : failures) tried.push_back(format("{}: {}", address, failure));
  throw DistError(
      format("rank {} on {} cannot reach rank 0 (process {} on {}). Tried {}", hello.rank, hello.host, rank0.process,
             rank0.host, tried.empty() ? "nothing: rank 0 has no address but loopback" : join(tried, "; ")),
      kUnreachableHint);
}

}  // namespace

std::string Endpoint::text() const {
  if (!trouble.empty()) return "trouble " + trouble;
  std::string out = format("rank0 {} {} {} {:x}", host, process, port, token);
  for (const Address& address : addresses) out += format(" {}{}", address.loopback ? "lo=" : "", address.text);
  return out;
}

Endpoint Endpoint::parse(const std::string& text) {
  Endpoint out;
  if (text.starts_with("trouble ")) {
    out.trouble = text.substr(std::string_view("trouble ").size());
    return out;
  }
  std::istringstream in(text);
  std::string magic;
  in >> magic >> out.host >> out.process >> out.port >> std::hex >> out.token;
  if (!in || magic != "rank0") throw DistError(format("rank 0's address should have been broadcast, got \"{}\"", text));
  for (std::string address; in >> address;) {
    const bool loopback = address.starts_with("lo=");
    out.addresses.push_back({loopback ? address.substr(3) : address, loopback});
  }
  return out;
}

std::vector<Peer> gather_ranks(int size, milliseconds patience, const Broadcast& broadcast) {
  Endpoint endpoint{host_name(), ::getpid(), 0, random_token(), local_addresses(), {}};
  Listener listener;
  try {
    listener = listen_on_all_addresses();
  } catch (const DistError& e) {  // the others wait for the broadcast
    endpoint.trouble = e.what();
    broadcast(endpoint.text());
    throw;
  }
  endpoint.port = listener.port;
  Reception reception(size, endpoint.token, std::move(listener));
  broadcast(endpoint.text());
  return reception.receive_all(Clock::now() + patience);
}

Group join_rank0(int rank, int size, milliseconds patience, const Broadcast& broadcast) {
  const Endpoint rank0 = Endpoint::parse(broadcast({}));
  if (!rank0.trouble.empty()) throw DistError(rank0.trouble);
  const Time deadline = Clock::now() + patience;
  const Hello hello{rank0.token, rank, size, ::getpid(), host_name()};
  Group group{{rank0.host, rank0.process, connect_to_rank0(rank0, hello, deadline)}, rank0.token};
  Connection& connection = group.rank0.connection;
  // Rank 0's clock for the others may have begun a little later.
  while (wait_for(connection.socket(), POLLIN, deadline + milliseconds(2000))) {
    connection.receive();
    if (const std::optional<Message> message = connection.next()) {
      if (message->kind == MessageKind::sorry) throw RankLost(message->payload, kUnreachableHint, false);
      group.first_elsewhere = Unpacker(message->payload).get<int32_t>();
      return group;
    }
    if (connection.ended()) break;
  }
  throw DistError(format("rank 0 (process {} on {}) went away while the ranks came together: {}", rank0.process,
                         rank0.host, connection.ended() ? connection.end() : "no answer"));
}

}  // namespace rstorch::dist
