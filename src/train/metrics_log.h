// metrics.jsonl and metrics.csv of a run folder: one line per event, each written whole.
//
// A full disk does not stop training: lines that could not be written wait in memory for the next one. A resumed run
// cuts the files back to where they were at its checkpoint, so that no step is there twice.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "train/files.h"
#include "train/metrics.h"

namespace rstorch {

struct MetricsRecord {
  int64_t step = 0;
  int64_t epoch = 0;
  double seconds = 0;  // of training, in all processes of the run together
  Metrics values;
};

class MetricsLog {
 public:
  struct Options {
    bool jsonl = true;
    bool csv = true;
    std::vector<std::string> columns;  // of the csv, after step, epoch and time
  };
  struct Sizes {
    int64_t jsonl = 0;
    int64_t csv = 0;
  };

  // Cuts the files to `sizes`. A csv that has begun keeps its columns.
  MetricsLog(const files::Path& folder, Options options, const Sizes& sizes);

  void write(const MetricsRecord& record);
  // Everything is on the disk, or this throws CheckpointError.
  Sizes sync();

 private:
  struct File {
    files::LineFile lines;
    std::string waiting;
    bool warned = false;

    void add(std::string_view line);
    int64_t sync();
  };
  static std::optional<File> open(bool wanted, const files::Path& path, int64_t size);
  void keep_columns();
  std::string csv_line(const MetricsRecord& record) const;

  Options options_;
  Sizes sizes_;  // of a file that is switched off: what it has, for when it is switched on again
  std::optional<File> jsonl_;
  std::optional<File> csv_;
};

}  // namespace rstorch
