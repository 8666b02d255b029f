#include "train/agreement.h"

#include <xxhash.h>

#include "base/mapped_file.h"
#include "base/version.h"
#include "config/dump.h"
#include "config/load.h"
#include "train/config_changes.h"

namespace rstorch {
namespace {

constexpr int64_t kSamples = 8;  // of each dataset, from all over it

// The first rank that says something else than rank 0.
std::optional<int> first_other(const std::vector<std::string>& texts) {
  for (size_t rank = 1; rank < texts.size(); ++rank) {
    if (texts[rank] != texts[0]) return int(rank);
  }
  return {};
}

uint64_t hash_of(const Tensor& x, uint64_t seed) {
  const Tensor row = x.detach().to(kCPU).contiguous();
  return XXH3_64bits_withSeed(row.raw_data(), row.bytes(), seed);
}

// What results depend on, and what ranks exchange. A run may go on with other settings of the latter, but on all ranks.
std::vector<std::string> differences(const config::Value& a, const config::Value& b) {
  std::vector<std::string> out = config_changes(a, b);
  for (const config::Value& setting : b.at("distributed").items()) {
    if (!(setting == a.at("distributed").at(setting.key()))) out.push_back(setting.path());
  }
  return out;
}

// The program as it is on this machine.
std::string build_text() {
  const auto program = MappedFile::open("/proc/self/exe");
  const uint64_t hash = program ? XXH3_64bits(program->data(), program->bytes()) : 0;
  return format("{} {:016x}", kVersion, hash);
}

std::string text_of(const char* name, const data::Dataset* dataset) {
  if (!dataset) return format("no {} data", name);
  uint64_t hash = 0;
  const int64_t size = dataset->size();
  for (int64_t i = 0; i < std::min(kSamples, size); ++i) {
    const data::Sample sample = dataset->get(i * (size - 1) / std::max<int64_t>(1, std::min(kSamples, size) - 1), 0);
    hash = hash_of(sample.y, hash_of(sample.x, hash));
  }
  return format("{} samples to {}, {}, hash {:016x}", size, name, dataset->spec().text(), hash);
}

}  // namespace

void agree_on_command(dist::ProcessGroup& group, const std::string& name) {
  const std::vector<std::string> names = group.gather_text(name, "agreement on the command");
  const auto rank = first_other(names);
  if (!rank) return;
  throw UsageError(format("the ranks run different commands: rank 0 `rstorch {}`, rank {} `rstorch {}`", names[0],
                          *rank, names[size_t(*rank)]),
                   "start all ranks with the same command, as `rstorch launch` does", 12);
}

void agree_on_config(dist::ProcessGroup& group, const Experiment& experiment) {
  if (group.size() == 1) return;
  const std::vector<std::string> builds = group.gather_text(build_text(), "agreement on the program");
  if (const auto rank = first_other(builds)) {
    throw DistError(
        format("rank {} runs another rstorch than rank 0: {}, rank 0 {}", *rank, builds[size_t(*rank)], builds[0]),
        "start the same program on all machines", 3);
  }
  const std::vector<std::string> configs =
      group.gather_text(config::dump_yaml(experiment.resolved), "agreement on the config");
  config::Report ignored;
  const config::Value first = config::parse(configs[0], "config.yaml", ignored);
  for (size_t rank = 1; rank < configs.size(); ++rank) {
    const auto changes = differences(first, config::parse(configs[rank], "config.yaml", ignored));
    if (changes.empty()) continue;
    throw ConfigError(format("rank {} has another config than rank 0: it differs in {}", rank, join(changes, ", ")),
                      "give all ranks the same file and the same arguments; ${env:...} may differ between machines",
                      20);
  }
}

void agree_on_data(dist::ProcessGroup& group, const data::OpenedData& data) {
  if (group.size() == 1) return;
  const std::string mine = format("{}; {}; {}", text_of("train on", data.train.get()),
                                  text_of("validate", data.val.get()), config::to_json(data.state));
  const std::vector<std::string> all = group.gather_text(mine, "agreement on the data");
  const auto rank = first_other(all);
  if (!rank) return;
  throw DataError(format("rank {} has other data than rank 0:\n  rank {}: {}\n  rank 0: {}", *rank, *rank,
                         all[size_t(*rank)], all[0]),
                  "give all ranks the same files", 6);
}

void agree_on_weights(dist::ProcessGroup& group, const nn::Module& model) {
  if (group.size() == 1) return;
  uint64_t hash = 0;
  for (const nn::NamedTensor& named : model.state_dict()) hash = hash_of(named.tensor, hash);
  const auto rank = first_other(group.gather_text(format("{:016x}", hash), "agreement on the weights"));
  if (!rank) return;
  throw DistError(format("rank {} has other weights than rank 0 after they were sent to all", *rank),
                  "the network or a machine's memory changes data", 4);
}

}  // namespace rstorch
