#include "train/progress.h"

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include <unistd.h>

#include "base/format.h"
#include "base/log.h"

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

std::string short_number(double x) {
  if (x >= 99.95e6) return format("{:.0f}M", x / 1e6);
  if (x >= 999.5e3) return format("{:.1f}M", x / 1e6);
  if (x >= 99.95e3) return format("{:.0f}k", x / 1e3);
  if (x >= 9999.5) return format("{:.1f}k", x / 1e3);
  return format("{:.0f}", x);
}

std::string duration_text(double seconds) {
  if (seconds < 9.95) return format("{:.1f} s", seconds);
  const auto whole = int64_t(std::llround(seconds));
  if (whole < 60) return format("{} s", whole);
  if (whole < 3600) return format("{}:{:02}", whole / 60, whole % 60);
  return format("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60);
}

Progress::Progress(const Run& run) : run_(run) {}

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
