// What a person sees of a run while it goes on. On a terminal: one line that is redrawn, below the lines of the log.
// Elsewhere: the lines of the log alone.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

namespace rstorch {

// True if stderr is a terminal that redraws lines.
bool stderr_is_terminal();
// True if colours are wanted there: a terminal, and NO_COLOR is not set.
bool stderr_has_colours();

using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point begin);

class Progress {
 public:
  struct Run {
    int64_t steps_per_epoch = 1;
    std::optional<int64_t> last_step;  // unset: it ends by time
    int64_t first_step = 0;            // of this process
    bool shown = true;
  };
  explicit Progress(const Run& run);
  ~Progress() { clear(); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void set_loss(double loss) { loss_ = loss; }
  // After each step; redraws at most ten times a second.
  void step(int64_t step, int64_t samples);
  // A line for the log, above the progress line.
  void line(const std::string& text);
  void clear();

  // "epoch 3/20  step 69/460"
  std::string position(int64_t step) const;
  // Samples per second of training since the last call.
  double take_rate();
  // Work since `begin` was no training: a validation, a checkpoint.
  void leave_out(Clock::time_point begin) { rate_begin_ += Clock::now() - begin; }

 private:
  void draw(int64_t step);

  Run run_;
  bool terminal_;
  bool drawn_ = false;
  std::optional<double> loss_;
  Clock::time_point begin_ = Clock::now();
  Clock::time_point last_draw_ = begin_;
  Clock::time_point rate_begin_ = begin_;
  int64_t rate_samples_ = 0;
  int64_t samples_ = 0;
};

}  // namespace rstorch
