#include "dist/group_watch.h"

#include <algorithm>

#include "base/format.h"

namespace rstorch::dist {
namespace {

milliseconds between(Time from, Time to) { return std::chrono::duration_cast<milliseconds>(to - from); }

bool contains(const std::vector<int>& ranks, int rank) {
  return std::find(ranks.begin(), ranks.end(), rank) != ranks.end();
}

// Beyond a few heartbeats, a rank that keeps others waiting is called silent, not slow.
milliseconds suspicious_silence(milliseconds timeout) { return std::min(milliseconds(1000), timeout / 2); }

}  // namespace

std::string seconds_text(milliseconds time) { return format("{:.1f} s", double(time.count()) / 1000); }

std::string ranks_text(const std::vector<int>& ranks) {
  if (ranks.size() == 1) return format("rank {}", ranks[0]);
  if (ranks.size() > 2 && size_t(ranks.back() - ranks.front()) + 1 == ranks.size()) {
    return format("ranks {} to {}", ranks.front(), ranks.back());
  }
  const std::vector<int> first(ranks.begin(), ranks.end() - 1);
  return format("ranks {} and {}", join(first, ", "), ranks.back());
}

std::string place_text(const Status& status) {
  std::string text = status.step < 0 ? "the start, before the first step" : format("step {}", status.step);
  if (!status.place.empty()) text += format(" ({})", status.place);
  if (!status.busy.empty()) text += format(", {}", status.busy);
  return text;
}

std::string death_hint(int rank, const std::string& host) {
  return format("what rank {} wrote last may say why; if the system killed it for want of memory, `dmesg` on {} does",
                rank, host);
}

std::string Status::pack() const {
  Packer out;
  out.put(step).put(place).put(busy).put(started).put(completed);
  out.put(int64_t(idle.count())).put(int64_t(waited.count())).put(uint32_t(fresh.size()));
  for (const Collective& one : fresh) out.put(one.sequence).put(one.fingerprint).put(one.what);
  return out.take();
}

std::optional<Status> Status::unpack(std::string_view payload) {
  Unpacker in(payload);
  Status out;
  out.step = in.get<int64_t>();
  out.place = in.text();
  out.busy = in.text();
  out.started = in.get<uint64_t>();
  out.completed = in.get<uint64_t>();
  out.idle = milliseconds(in.get<int64_t>());
  out.waited = milliseconds(in.get<int64_t>());
  const auto count = in.get<uint32_t>();
  for (uint32_t i = 0; i < count && in.ok(); ++i) {
    Collective& one = out.fresh.emplace_back();
    one.sequence = in.get<uint64_t>();
    one.fingerprint = in.get<uint64_t>();
    one.what = in.text();
  }
  if (!in.ok()) return std::nullopt;
  return out;
}

GroupWatch::GroupWatch(std::vector<Member> members, Time now) : members_(std::move(members)) {
  for (Member& member : members_) member.heard = now;
}

std::optional<Finding> GroupWatch::update(int rank, Status status, Time now) {
  Member& member = members_[size_t(rank)];
  member.heard = now;
  member.status = std::move(status);
  for (const Collective& one : member.status.fresh) {
    Started& known = history_[one.sequence % history_.size()];
    if (known.sequence > one.sequence) continue;  // too long ago
    if (known.sequence < one.sequence) {
      known = {one, rank};
      continue;
    }
    if (known.fingerprint == one.fingerprint) continue;
    return Finding{
        format("the ranks do not do the same: as collective #{}, rank {} at {} started {}, but rank {} at {} "
               "started {}",
               one.sequence, known.rank, place_text(members_[size_t(known.rank)].status), known.what, rank,
               place_text(member.status), one.what),
        "all ranks must run the same program with the same config and the same data"};
  }
  return std::nullopt;
}

bool GroupWatch::anyone_busy() const {
  return std::any_of(members_.begin(), members_.end(),
                     [](const Member& member) { return !member.left && !member.status.busy.empty(); });
}

std::optional<Finding> GroupWatch::judge(Time now, milliseconds timeout) const {
  std::vector<int> silent_too_long, suspicious;
  for (int rank = 1; rank < int(members_.size()); ++rank) {
    const Member& member = members_[size_t(rank)];
    const milliseconds silence = between(member.heard, now);
    if (member.left) continue;
    if (silence > timeout) silent_too_long.push_back(rank);
    if (silence > suspicious_silence(timeout)) suspicious.push_back(rank);
  }
  if (!silent_too_long.empty()) return silent(silent_too_long, now, timeout);

  const std::optional<int> waiting = longest_waiting();
  if (!waiting) return std::nullopt;
  const Status& status = members_[size_t(*waiting)].status;
  const uint64_t sequence = status.oldest_under_way();
  std::vector<int> not_there;
  bool never = false;  // one of them is no longer there to start it
  for (int rank = 0; rank < int(members_.size()); ++rank) {
    const Member& member = members_[size_t(rank)];
    if (member.status.started >= sequence) continue;
    not_there.push_back(rank);
    never |= member.left;
  }
  if (!never && (status.waited <= timeout || anyone_busy())) return std::nullopt;
  if (!never && !suspicious.empty()) return silent(suspicious, now, timeout);
  if (!not_there.empty()) return absent(not_there, *waiting, now, timeout);
  return Finding{
      format("all ranks are in {}, rank {} for {} (the time-out is {}): the network between them is stuck",
             collective(sequence), *waiting, seconds_text(status.waited), seconds_text(timeout)),
      "look at the network that the ranks exchange their data over, which need not be the one of this message"};
}

Finding GroupWatch::died(int rank, const std::string& reason, Time now) const {
  const Member& member = members_[size_t(rank)];
  return {format("{} died: {}; last heard of {} ago at {}; rank 0 is at {}", name(rank), reason,
                 seconds_text(between(member.heard, now)), doing(rank), doing(0)),
          death_hint(rank, member.host)};
}

Finding GroupWatch::silent(const std::vector<int>& ranks, Time now, milliseconds timeout) const {
  milliseconds longest{0};
  for (const int rank : ranks) longest = std::max(longest, between(members_[size_t(rank)].heard, now));
  return {format("{} {} not been heard of for {} (the time-out is {}): stopped, or the machine or its network is down; "
                 "last at {}{}",
                 names(ranks), ranks.size() == 1 ? "has" : "have", seconds_text(longest), seconds_text(timeout),
                 doing(ranks[0]), others_wait(ranks)),
          {}};
}

Finding GroupWatch::absent(const std::vector<int>& ranks, int waiting, Time now, milliseconds timeout) const {
  const Member& first = members_[size_t(ranks[0])];
  const Status& waits = members_[size_t(waiting)].status;
  const std::string other = format("rank {} at {}", waiting, place_text(waits));
  const auto left = std::find_if(ranks.begin(), ranks.end(), [&](int rank) { return members_[size_t(rank)].left; });
  if (left != ranks.end()) {
    return {format("{} has left, last at {}, but {} is in {}, which it never started", name(*left), doing(*left), other,
                   collective(waits.oldest_under_way())),
            "all ranks must run the same program with the same config and the same data"};
  }
  return {format("{} {} at {}, and did nothing for {}; {} waits in {} for {} (the time-out is {})", names(ranks),
                 ranks.size() == 1 ? "hangs" : "hang", doing(ranks[0]),
                 seconds_text(first.status.idle + between(first.heard, now)), other,
                 collective(waits.oldest_under_way()), seconds_text(waits.waited), seconds_text(timeout)),
          "if it is only slow, give it a longer time-out"};
}

// With the least number, of those the one that waits longest: later collectives may be waiting for that one.
std::optional<int> GroupWatch::longest_waiting(const std::vector<int>& except) const {
  std::optional<int> found;
  for (int rank = 0; rank < int(members_.size()); ++rank) {
    const Member& member = members_[size_t(rank)];
    const uint64_t sequence = member.status.oldest_under_way();
    if (member.left || sequence == 0 || contains(except, rank)) continue;
    if (found) {
      const Status& best = members_[size_t(*found)].status;
      if (sequence > best.oldest_under_way()) continue;
      if (sequence == best.oldest_under_way() && member.status.waited <= best.waited) continue;
    }
    found = rank;
  }
  return found;
}

std::string GroupWatch::others_wait(const std::vector<int>& except) const {
  const std::optional<int> rank = longest_waiting(except);
  if (!rank) return {};
  const Status& status = members_[size_t(*rank)].status;
  return format("; rank {} at {} is in {}", *rank, place_text(status), collective(status.oldest_under_way()));
}

std::string GroupWatch::collective(uint64_t sequence) const {
  const Started& known = history_[sequence % history_.size()];
  return known.sequence == sequence ? format("collective #{}, {}", sequence, known.what)
                                    : format("collective #{}", sequence);
}

std::string GroupWatch::name(int rank) const {
  const Member& member = members_[size_t(rank)];
  return format("rank {} (process {} on {})", rank, member.process, member.host);
}

std::string GroupWatch::names(const std::vector<int>& ranks) const {
  if (ranks.size() > 4) return format("{} ({} of them)", ranks_text(ranks), ranks.size());
  std::string text;
  for (size_t i = 0; i < ranks.size(); ++i) {
    if (i > 0) text += i + 1 == ranks.size() ? " and " : ", ";
    text += name(ranks[i]);
  }
  return text;
}

std::string GroupWatch::doing(int rank) const {
  const Status& status = members_[size_t(rank)].status;
  const uint64_t sequence = status.oldest_under_way();
  return sequence == 0 ? place_text(status) : format("{}, in {}", place_text(status), collective(sequence));
}

}  // namespace rstorch::dist
