// How the ranks find each other: rank 0 listens, the others connect to it and show the token that came with its
// address.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "dist/connection.h"

namespace rstorch::dist {

// Where rank 0 is to be found. The text is one line.
struct Endpoint {
  std::string host;
  int64_t process = 0;
  uint16_t port = 0;
  uint64_t token = 0;
  std::vector<Address> addresses;
  std::string trouble;  // not empty: rank 0 cannot listen, and why

  std::string text() const;
  static Endpoint parse(const std::string& text);  // throws DistError
};

struct Peer {
  std::string host;
  int64_t process = 0;
  Connection connection;
};

// Gives rank 0's text to all ranks: returns it on each.
using Broadcast = std::function<std::string(std::string)>;

// On rank 0: all ranks by number, itself without a connection. Throws RankLost where one does not come within
// `patience`, and tells those that did. Throws DistError.
std::vector<Peer> gather_ranks(int size, milliseconds patience, const Broadcast& broadcast);

struct Group {
  Peer rank0;
  uint64_t token = 0;        // of this group alone
  int first_elsewhere = -1;  // the lowest rank on another machine than rank 0's; -1: none
};
// On the other ranks. Returns when all are there. Throws RankLost where rank 0 says that one is missing, DistError.
Group join_rank0(int rank, int size, milliseconds patience, const Broadcast& broadcast);

}  // namespace rstorch::dist
