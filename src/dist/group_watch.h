// What rank 0 knows of all ranks, and what it concludes from it.
//
// No sockets, no threads, no clock of its own: the caller says what time it is.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "dist/connection.h"

namespace rstorch::dist {

struct Collective {
  uint64_t sequence = 0;  // 0: none
  uint64_t fingerprint = 0;
  std::string what;
};

// What a rank says of itself in each heartbeat.
struct Status {
  int64_t step = -1;  // -1: not yet at the first
  std::string place;
  std::string busy;
  uint64_t started = 0;  // the newest collective
  uint64_t completed = 0;
  milliseconds idle{0};           // since it last said anything new
  milliseconds waited{0};         // in the oldest collective under way, while no rank was busy
  std::vector<Collective> fresh;  // those started since the last heartbeat, at most kRemembered

  static constexpr size_t kRemembered = 64;
  uint64_t oldest_under_way() const { return started > completed ? completed + 1 : 0; }  // 0: none

  std::string pack() const;
  static std::optional<Status> unpack(std::string_view payload);
};

struct Finding {
  std::string message;
  std::string hint;
};

class GroupWatch {
 public:
  struct Member {
    std::string host;
    int64_t process = 0;
    Status status;
    Time heard{};
    bool left = false;
  };

  GroupWatch(std::vector<Member> members, Time now);

  // Finds ranks that started different collectives under the same number.
  std::optional<Finding> update(int rank, Status status, Time now);
  void leave(int rank) { members_[size_t(rank)].left = true; }
  bool anyone_busy() const;
  // Finds ranks that are silent for longer than `timeout`, or keep others waiting for longer.
  std::optional<Finding> judge(Time now, milliseconds timeout) const;
  // The rank's connection ended without a goodbye. What it did since its last heartbeat nobody knows.
  Finding died(int rank, const std::string& reason, Time now) const;

 private:
  std::string name(int rank) const;
  std::string names(const std::vector<int>& ranks) const;
  std::string doing(int rank) const;
  std::string collective(uint64_t sequence) const;
  std::string others_wait(const std::vector<int>& except) const;
  Finding silent(const std::vector<int>& ranks, Time now, milliseconds timeout) const;
  Finding absent(const std::vector<int>& ranks, int waiting, Time now, milliseconds timeout) const;
  std::optional<int> longest_waiting(const std::vector<int>& except = {}) const;

  struct Started : Collective {
    int rank = 0;  // that said so first
  };
  std::vector<Member> members_;
  std::array<Started, 4 * Status::kRemembered> history_;  // by sequence, of all ranks
};

// "step 12 (forward pass of conv1)", "step 12 (forward pass of conv1), writing a checkpoint", "start, before the first
// step".
std::string place_text(const Status& status);
std::string death_hint(int rank, const std::string& host);
std::string seconds_text(milliseconds time);            // "1.5 s"
std::string ranks_text(const std::vector<int>& ranks);  // "rank 1", "ranks 1 and 2", "ranks 0 to 7"

}  // namespace rstorch::dist
