#include "cli/mpirun.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <memory>
#include <thread>

#include <unistd.h>

#include "cli/shell_word.h"

namespace rstorch::cli {
namespace {

using files::Path;

constexpr int kMostSlots = 4096;

std::string variable(const char* name) {
  const char* const value = std::getenv(name);
  return value ? value : "";
}

bool can_be_run(const Path& path) { return !std::filesystem::is_directory(path) && ::access(path.c_str(), X_OK) == 0; }

// The parts between separators, empty ones too.
std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts(1);
  for (const char c : text) {
    if (c == separator) {
      parts.emplace_back();
    } else {
      parts.back() += c;
    }
  }
  return parts;
}

// A positive number; 0: it is none.
int number_in(const std::string& text) {
  int number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size() && number <= kMostSlots ? std::max(number, 0) : 0;
}

int machines_of_allocation() { return std::max(1, number_in(variable("SLURM_JOB_NUM_NODES"))); }

int most_ranks_on_a_machine(const RankProgram& program) {
  if (program.hosts.empty()) {
    const int machines = machines_of_allocation();
    return (program.ranks + machines - 1) / machines;
  }
  std::map<std::string, int> slots;
  int most = 0;
  for (const Host& host : program.hosts) most = std::max(most, slots[host.name] += host.slots);
  return std::min(program.ranks, most);
}

std::string host_list(const std::vector<Host>& hosts) {
  std::string out;
  for (const Host& host : hosts) out += format("{}{}:{}", out.empty() ? "" : ",", host.name, host.slots);
  return out;
}

// mpirun gives the ranks of other machines no variable but its own, unless it is named.
void export_variables(std::vector<std::string>& words) {
  constexpr std::array<std::string_view, 4> exported = {"RSTORCH_", "OMP_", "GOMP_", "NCCL_"};
  for (char** entry = environ; *entry; ++entry) {
    const std::string name = std::string(*entry).substr(0, std::string_view(*entry).find('='));
    const bool ours = std::ranges::any_of(exported, [&](std::string_view prefix) { return name.starts_with(prefix); });
    if (ours) words.insert(words.end(), {"-x", name});
  }
}

}  // namespace

void note_signal(const std::string& name) { std::ofstream(variable(kSignalFile)) << name; }

std::string noted_signal() {
  std::string name;
  std::ifstream(variable(kSignalFile)) >> name;
  return name;
}

std::optional<Path> find_mpirun() {
  std::vector<Path> places;
  const std::string given = variable("RSTORCH_MPIRUN");
  const std::string prefix = variable("OPAL_PREFIX");
  if (!given.empty()) return can_be_run(given) ? std::optional<Path>(given) : std::nullopt;
  if (!prefix.empty()) places.push_back(Path(prefix) / "bin" / "mpirun");
  for (const std::string& folder : split(variable("PATH"), ':')) {
    if (!folder.empty()) places.push_back(Path(folder) / "mpirun");
  }
  const auto found = std::ranges::find_if(places, can_be_run);
  return found == places.end() ? std::nullopt : std::optional<Path>(*found);
}

std::string mpirun_version(const Path& mpirun) {
  const std::string command = shell_word(mpirun.string()) + " --version 2>/dev/null </dev/null";
  const std::unique_ptr<FILE, int (*)(FILE*)> output(::popen(command.c_str(), "r"), ::pclose);
  std::array<char, 200> line{};
  if (!output || !std::fgets(line.data(), int(line.size()), output.get())) return {};
  std::string text(line.data());
  while (text.ends_with('\n')) text.pop_back();
  constexpr std::string_view kOpenMpi = "mpirun (Open MPI) ";
  return text.starts_with(kOpenMpi) ? "Open MPI " + text.substr(kOpenMpi.size()) : text;
}

std::vector<Host> read_hosts(const std::string& text) {
  std::vector<Host> hosts;
  for (const std::string& part : split(text, ',')) {
    const size_t colon = part.find(':');
    Host host{part.substr(0, colon), colon == part.npos ? 1 : number_in(part.substr(colon + 1))};
    constexpr std::string_view kOfNames = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._";
    const bool named =
        !host.name.empty() && host.name[0] != '-' && host.name.find_first_not_of(kOfNames) == host.name.npos;
    if (!named || host.slots < 1) {
      throw UsageError(format("--hosts has `{}`, wanted NAME or NAME:SLOTS with 1 to {} slots", part, kMostSlots),
                       "for example --hosts node1:4,node2:4");
    }
    hosts.push_back(std::move(host));
  }
  return hosts;
}

bool on_several_machines(const RankProgram& program) {
  return !program.hosts.empty() || machines_of_allocation() > 1 || !variable("PBS_NODEFILE").empty();
}

std::vector<std::string> mpirun_words(const Path& mpirun, const RankProgram& program) {
  const int cores = std::max(1, int(std::thread::hardware_concurrency()));
  const int ranks_here = most_ranks_on_a_machine(program);
  std::vector<std::string> words = {mpirun.string(), "-q", "-n", std::to_string(program.ranks)};
  const auto add = [&words](std::initializer_list<std::string> more) { words.insert(words.end(), more); };
  if (!program.hosts.empty()) add({"--host", host_list(program.hosts)});
  // Ranks share the cores by their number of threads; bound to one core each, a rank's threads would share that one.
  add({"--oversubscribe", "--bind-to", "none", "--stdin", "none"});
  if (variable("OMP_NUM_THREADS").empty()) {
    add({"-x", format("OMP_NUM_THREADS={}", std::max(1, cores / std::max(1, ranks_here)))});
  }
  if (on_several_machines(program)) export_variables(words);
  if (ranks_here > cores) add({"--mca", "mpi_yield_when_idle", "1"});  // 250 times faster than to spin
  // A link that is cut for good is noticed after 7 s, one that is cut for 3 s is not; with the defaults, never.
  add({"--mca", "oob_tcp_keepalive_time", "2", "--mca", "oob_tcp_keepalive_intvl", "1"});
  add({"--mca", "oob_tcp_keepalive_probes", "5"});
  // The bits of a sum depend on the algorithm. The MPI module sets it too; here it is seen.
  add({"--mca", "coll_libnbc_iallreduce_algorithm", "rabenseifner"});
  words.insert(words.end(), program.command.begin(), program.command.end());
  return words;
}

Environment mpirun_environment() {
  if (::geteuid() != 0) return {};
  return {{"OMPI_ALLOW_RUN_AS_ROOT", "1"}, {"OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1"}};
}

}  // namespace rstorch::cli
