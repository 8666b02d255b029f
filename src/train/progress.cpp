#include "train/progress.h"

#include <cstdio>
#include <cstdlib>
#include <string_view>

#include <unistd.h>

#include "base/format.h"
#include "base/log.h"
#include "train/text_table.h"

namespace rstorch {

double seconds_since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

bool stderr_is_terminal() {
  const char* term = std::getenv("TERM");
  return ::isatty(STDERR_FILENO) == 1 && term != nullptr && std::string_view(term) != "dumb";
}

bool stderr_has_colours() {
  const char* no_color = std::getenv("NO_COLOR");
  return stderr_is_terminal() && (no_color == nullptr || *no_color == '\0');
}

Progress::Progress(const Run& run) : run_(run), terminal_(run.shown && stderr_is_terminal()) {}

void Progress::step(int64_t step, int64_t samples) {
  samples_ += samples;
  rate_samples_ += samples;
  if (terminal_ && seconds_since(last_draw_) > 0.1) draw(step);
}

void Progress::line(const std::string& text) {
  clear();
  logging::info(text);
}

void Progress::clear() {
  if (drawn_) std::fputs("\r\033[K", stderr);
  drawn_ = false;
}

std::string Progress::position(int64_t step) const {
  const int64_t epoch = (step + run_.steps_per_epoch - 1) / run_.steps_per_epoch;
  if (!run_.last_step) return format("epoch {}  step {}", epoch, step);
  const int64_t epochs = (*run_.last_step + run_.steps_per_epoch - 1) / run_.steps_per_epoch;
  const auto width = [](int64_t n) { return std::to_string(n).size(); };
  return format("epoch {:>{}}/{}  step {:>{}}/{}", epoch, width(epochs), epochs, step, width(*run_.last_step),
                *run_.last_step);
}

double Progress::take_rate() {
  const double rate = double(rate_samples_) / std::max(1e-9, seconds_since(rate_begin_));
  rate_samples_ = 0;
  rate_begin_ = Clock::now();
  return rate;
}

void Progress::draw(int64_t step) {
  const double elapsed = seconds_since(begin_);
  std::string text = position(step);
  if (loss_) text += format("  loss {:.4f}", *loss_);
  text += format("  {} samples/s", short_number(double(samples_) / elapsed));
  if (run_.last_step && step > run_.first_step) {
    const double left = double(*run_.last_step - step) / double(step - run_.first_step) * elapsed;
    text += format("  {} left", duration_text(left));
  }
  std::fputs(("\r" + text + "\033[K").c_str(), stderr);
  std::fflush(stderr);
  drawn_ = true;
  last_draw_ = Clock::now();
}

}  // namespace rstorch
