// Checkpoints: folders `step-00001000` that hold everything needed to go on, evaluate or export.
//
//   model.safetensors    state_dict with PyTorch's keys
//   trainer.safetensors  optimizer state by parameter name, averages of weights, loss scale
//   state.json           step, data position, seed, schedule, meters, metrics (training_state.h)
//   config.yaml          the resolved config
//   manifest.json        format version, sizes and hashes of the others; written last
//
// A checkpoint appears by one rename of a finished folder, so at any instruction a crash leaves the earlier ones
// untouched and no half one. All errors are CheckpointErrors.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "config/value.h"
#include "train/files.h"
#include "train/safetensors.h"

namespace rstorch {

struct CheckpointContents {
  std::vector<NamedTensor> model;
  std::vector<NamedTensor> trainer;
  config::Value state;
  std::string config;  // YAML text
};

// One that is there: its manifest was read, and every file's size and hash compared with it.
class Checkpoint {
 public:
  // `path`: a checkpoint, a link to one, a folder of checkpoints or a run folder (its last checkpoint).
  explicit Checkpoint(const files::Path& path);

  const files::Path& folder() const { return folder_; }  // without links
  SafetensorsFile model() const { return SafetensorsFile(folder_ / "model.safetensors"); }
  SafetensorsFile trainer() const { return SafetensorsFile(folder_ / "trainer.safetensors"); }
  config::Value state() const;
  std::string config_text() const { return files::read_text(folder_ / "config.yaml"); }
  config::Value manifest() const { return manifest_; }
  uint64_t bytes() const;  // of all files

 private:
  files::Path folder_;
  config::Value manifest_;
};

std::string checkpoint_name(int64_t step);  // "step-00001000"
// The steps that a folder of checkpoints has, ascending; whole or not.
std::vector<int64_t> checkpoint_steps(const files::Path& folder);

// The folder `checkpoints` of a run, of which this process is the only writer.
class CheckpointStore {
 public:
  // Makes the folder where it is not there and clears what killed processes left behind.
  explicit CheckpointStore(files::Path folder);

  // Writes the checkpoint of a step (in place of one of the same step) and points `last` at it. On an error the
  // earlier checkpoints are as they were and nothing is left of the new one but, at most, the whole of it.
  void save(int64_t step, const CheckpointContents& contents);
  // Points `best` at a step that was saved.
  void mark_best(int64_t step);
  // For a run that goes on from `step`: later checkpoints, damaged or of another run, stay under names that no reader
  // looks at, and `last` and `best` point at nothing else than what is left. `best` is where the run says it was; the
  // link stays where it is if that one was never saved.
  void go_on_from(int64_t step, std::optional<int64_t> best);
  // Removes what is older than the newest `keep_last` up to `step`, but never a step that `last` or `best` points at.
  // Does not throw: what cannot be removed is logged.
  void prune(int64_t keep_last, int64_t step);

  files::Path path_of(int64_t step) const { return folder_ / checkpoint_name(step); }
  const files::Path& folder() const { return folder_; }

 private:
  void sweep();
  std::optional<int64_t> target_of(const char* link) const;

  files::Path folder_;
};

}  // namespace rstorch
