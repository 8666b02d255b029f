#include "train/checkpoint.h"

#include <algorithm>
#include <charconv>
#include <memory>
#include <optional>

#include <xxhash.h>

#include "base/log.h"
#include "base/version.h"
#include "config/dump.h"
#include "train/json.h"

namespace rstorch {
namespace {

namespace fs = std::filesystem;
using config::Value;
using files::kTemporary;
using files::Path;

constexpr int64_t kFormatVersion = 1;
constexpr const char* kFiles[] = {"model.safetensors", "trainer.safetensors", "state.json", "config.yaml"};
constexpr std::string_view kPrefix = "step-";
constexpr std::string_view kReplaced = ".old-";  // made room for a new one of the same step
constexpr std::string_view kSetAside = ".bad-";  // later than what the run went on from

// xxHash's 64-bit XXH3, fed in pieces.
class Hash {
 public:
  Hash() : state_(XXH3_createState()) { XXH3_64bits_reset(state_.get()); }
  void add(std::span<const std::byte> bytes) { XXH3_64bits_update(state_.get(), bytes.data(), bytes.size()); }
  std::string text() const { return format("{:016x}", XXH3_64bits_digest(state_.get())); }

 private:
  struct Free {
    void operator()(XXH3_state_t* state) const { XXH3_freeState(state); }
  };
  std::unique_ptr<XXH3_state_t, Free> state_;
};

// Writes the files of a checkpoint and collects their sizes and hashes.
class FolderWriter {
 public:
  explicit FolderWriter(Path folder) : folder_(std::move(folder)) { files::make_folders(folder_); }

  void add(const std::string& name, const std::function<void(const Sink&)>& produce) {
    files::Writer writer(folder_ / name);
    Hash hash;
    int64_t bytes = 0;
    produce([&](std::span<const std::byte> piece) {
      hash.add(piece);
      bytes += int64_t(piece.size());
      writer.write(piece);
    });
    writer.finish();
    files_.set(name, Value::map({{"bytes", bytes}, {"xxh3_64", hash.text()}}));
  }
  void add(const std::string& name, std::string_view text) {
    add(name, [&](const Sink& sink) { sink(std::as_bytes(std::span(text))); });
  }
  void finish() {
    const Value manifest = Value::map(
        {{"format", "rstorch checkpoint"}, {"version", kFormatVersion}, {"rstorch", kVersion}, {"files", files_}});
    files::Writer writer(folder_ / "manifest.json");
    writer.write(config::to_json(manifest, 2) + "\n");
    writer.finish();
    files::sync_folder(folder_);
  }

 private:
  Path folder_;
  Value files_ = Value::map();
};

std::optional<int64_t> step_of(std::string_view name) {
  if (!name.starts_with(kPrefix)) return {};
  name.remove_prefix(kPrefix.size());
  int64_t step = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), step);
  if (error != std::errc() || end != name.data() + name.size()) return {};
  if (name != format("{:08}", step)) return {};  // not a name that we give
  return step;
}

// A run folder or a folder of checkpoints stands for its last one.
Path resolve(const Path& path) {
  for (const Path& candidate : {path, path / "last", path / "checkpoints" / "last"}) {
    if (!files::is_there(candidate / "manifest.json")) continue;
    std::error_code error;
    const Path real = fs::canonical(candidate, error);
    return error || path.is_absolute() ? real : real.lexically_proximate(fs::current_path());
  }
  if (!files::is_there(path)) {
    throw CheckpointError(format("there is no checkpoint {}", path.string()),
                          "checkpoints are in runs/NAME/checkpoints");
  }
  std::error_code ignored;
  if (!fs::is_directory(path, ignored)) {
    const bool inside = files::is_there(path.parent_path() / "manifest.json");
    throw CheckpointError(format("{} is a file, wanted the folder of a checkpoint or of a run", path.string()),
                          inside ? format("name the folder that it is in: {}", path.parent_path().string())
                                 : "name a folder such as runs/NAME/checkpoints/last");
  }
  throw CheckpointError(format("{} is not a complete checkpoint: it has no manifest.json", path.string()),
                        "name a folder such as runs/NAME/checkpoints/last");
}

// But for the manifest's few.
size_t bytes_of(const CheckpointContents& contents) {
  return safetensors_bytes(contents.model) + safetensors_bytes(contents.trainer) +
         config::to_json(contents.state, 2).size() + contents.config.size();
}

std::string hash_of(const Path& file) {
  Hash hash;
  files::read_pieces(file, [&](std::string_view piece) { hash.add(std::as_bytes(std::span(piece))); });
  return hash.text();
}

void verify(const Path& file, const Value& expected) {
  std::error_code error;
  const auto bytes = int64_t(fs::file_size(file, error));
  if (error)
    throw CheckpointError(format("{} is missing: {}", file.string(), error.message()), "take another checkpoint");
  if (const int64_t wanted = expected.at("bytes").as_int(); bytes != wanted) {
    throw CheckpointError(format("{} is damaged: it has {} bytes, the manifest says {}", file.string(), bytes, wanted),
                          "take another checkpoint");
  }
  const std::string& wanted = expected.at("xxh3_64").as_string();
  if (const std::string got = hash_of(file); got != wanted) {
    throw CheckpointError(format("{} is damaged: its hash is {}, the manifest says {}", file.string(), got, wanted),
                          "take another checkpoint");
  }
}

Value read_manifest(const Path& file) {
  const Value manifest = parse_json(files::read_text(file), file.string());
  try {
    const int64_t version = manifest.at("version").as_int();
    if (version != kFormatVersion) {
      throw CheckpointError(
          format("{}: format version {}, this rstorch reads version {}", file.string(), version, kFormatVersion),
          format("it was written by rstorch {}", manifest.at("rstorch").as_string()));
    }
    for (const char* name : kFiles) verify(file.parent_path() / name, manifest.at("files").at(name));
  } catch (const InternalError&) {  // a key that is missing or has another type
    throw CheckpointError(
        format("{} is damaged: it does not name version, rstorch and files with sizes and hashes of {}", file.string(),
               join(kFiles, ", ")),
        "take another checkpoint");
  }
  return manifest;
}

}  // namespace

std::string checkpoint_name(int64_t step) { return format("{}{:08}", kPrefix, step); }

std::vector<int64_t> checkpoint_steps(const Path& folder) {
  std::vector<int64_t> out;
  for (const std::string& name : files::names_in(folder)) {
    if (const auto step = step_of(name)) out.push_back(*step);
  }
  std::sort(out.begin(), out.end());
  return out;
}

Checkpoint::Checkpoint(const Path& path)
    : folder_(resolve(path)), manifest_(read_manifest(folder_ / "manifest.json")) {}

Value Checkpoint::state() const {
  const Path file = folder_ / "state.json";
  return parse_json(files::read_text(file), file.string());
}

uint64_t Checkpoint::bytes() const {
  uint64_t total = 0;
  for (const Value& entry : manifest_.at("files").items()) total += uint64_t(entry.at("bytes").as_int());
  return total;
}

CheckpointStore::CheckpointStore(Path folder) : folder_(std::move(folder)) {
  files::make_folders(folder_);
  sweep();
}

void CheckpointStore::sweep() {
  for (const std::string& name : files::names_in(folder_)) {
    if (name.starts_with(kTemporary)) files::remove_all(folder_ / name);
    if (!name.starts_with(kReplaced)) continue;
    const Path current = folder_ / name.substr(kReplaced.size());
    if (files::is_there(current)) {
      files::remove_all(folder_ / name);
    } else {
      files::move(folder_ / name, current);
    }
  }
}

void CheckpointStore::save(int64_t step, const CheckpointContents& contents) {
  const std::string name = checkpoint_name(step);
  const Path temporary = folder_ / (std::string(kTemporary) + name);
  const Path replaced = folder_ / (std::string(kReplaced) + name);
  const Path final = folder_ / name;
  bool moved_away = false;
  const auto restore = [&] {
    std::error_code ignored;
    if (moved_away) fs::rename(replaced, final, ignored);
    fs::remove_all(temporary, ignored);
  };
  try {
    FolderWriter writer(temporary);
    writer.add("model.safetensors", [&](const Sink& sink) {
      write_safetensors(sink, contents.model, {{"format", "pt"}});
    });
    writer.add("trainer.safetensors", [&](const Sink& sink) { write_safetensors(sink, contents.trainer); });
    writer.add("state.json", config::to_json(contents.state, 2) + "\n");
    writer.add("config.yaml", contents.config);
    writer.finish();
    if (files::is_there(final)) {
      files::move(final, replaced);
      moved_away = true;
    }
    files::move(temporary, final);
  } catch (const CheckpointError& e) {
    restore();
    if (!files::is_disk_full(e)) throw;
    throw CheckpointError(format("{}; the checkpoint takes {} bytes", e.what(), bytes_of(contents)), e.hint(),
                          files::kDiskFull);
  } catch (...) {
    restore();
    throw;
  }
  files::sync_folder(folder_);
  files::move_link(folder_ / "last", name);
  if (moved_away) files::remove_all(replaced);
}

void CheckpointStore::mark_best(int64_t step) { files::move_link(folder_ / "best", checkpoint_name(step)); }

std::optional<int64_t> CheckpointStore::target_of(const char* link) const {
  std::error_code error;
  return step_of(fs::read_symlink(folder_ / link, error).string());
}

void CheckpointStore::go_on_from(int64_t step, std::optional<int64_t> best) {
  for (const int64_t later : checkpoint_steps(folder_)) {
    if (later <= step) continue;
    const Path aside = folder_ / (std::string(kSetAside) + checkpoint_name(later));
    files::remove_all(aside);
    files::move(path_of(later), aside);
    logging::warning(format("{} is set aside as {}: the run goes on from step {}", path_of(later).string(),
                            aside.filename().string(), step));
  }
  if (target_of("last") != step) files::move_link(folder_ / "last", checkpoint_name(step));
  const auto link = target_of("best");
  if (link == best) return;
  if (best && files::is_there(path_of(*best))) return mark_best(*best);
  // A best step that could not be saved leaves the link at the best one before it.
  if (!best || link > step || !files::is_there(folder_ / "best")) files::remove_all(folder_ / "best");
}

void CheckpointStore::prune(int64_t keep_last, int64_t step) try {
  std::vector<int64_t> old = checkpoint_steps(folder_);
  std::erase_if(old, [&](int64_t other) { return other > step; });
  old.resize(size_t(std::max<int64_t>(0, int64_t(old.size()) - keep_last)));
  const auto last = target_of("last"), best = target_of("best");
  std::erase_if(old, [&](int64_t other) { return other == last || other == best; });
  for (const int64_t other : old) {
    // A name that no reader looks at, before the files go one by one.
    const Path temporary = folder_ / (std::string(kTemporary) + checkpoint_name(other));
    files::move(path_of(other), temporary);
    files::remove_all(temporary);
  }
} catch (const CheckpointError& e) {
  logging::warning(format("old checkpoints stay: {}", e.what()));
}

}  // namespace rstorch
