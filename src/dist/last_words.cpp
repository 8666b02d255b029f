#include "dist/last_words.h"

#include <algorithm>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <thread>

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include "base/descriptor.h"
#include "dist/watchdog.h"

namespace rstorch::dist {
namespace {

std::terminate_handler before;

template <class Lost>
[[noreturn]] void end_as_told(const Lost& lost) {
  std::cout.flush();
  std::fflush(nullptr);
  print_and_exit(int(lost.exit_code()), lost.to_report() ? lost.report() : std::string());
}

[[noreturn]] void on_terminate() {
  if (const std::exception_ptr uncaught = std::current_exception()) {
    try {
      std::rethrow_exception(uncaught);
    } catch (const RankLost& lost) {
      end_as_told(lost);
    } catch (const PeerFailed& failed) {
      end_as_told(failed);
    } catch (...) {
    }
  }
  before();
  std::abort();
}

}  // namespace

void write_last_words(const std::string& text) {
  const std::string line = text.empty() ? text : text + "\n";
  for (size_t done = 0; done < line.size();) {
    pollfd one{STDERR_FILENO, POLLOUT, 0};
    if (::poll(&one, 1, 1000) <= 0) return;  // a pipe that nobody reads must not keep the process
    const ssize_t written = ::write(STDERR_FILENO, line.data() + done, std::min<size_t>(line.size() - done, PIPE_BUF));
    if (written <= 0) return;
    done += size_t(written);
  }
  if (!line.empty()) after_last_words();
}

void after_last_words() {
  const char* const note = std::getenv(kLastWordsNote);
  if (note && *note) Descriptor(::open(note, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
}

void print_and_exit(int exit_code, const std::string& text) {
  if (text.empty()) std::this_thread::sleep_for(std::chrono::seconds(2));
  write_last_words(text);
  ::_exit(exit_code);
}

void end_in_order_when_uncaught() {
  if (std::get_terminate() != on_terminate) before = std::set_terminate(on_terminate);
}

}  // namespace rstorch::dist
