// Makes the n-th file operation of this process fail, or the process die there: the wrappers below take the place of
// libc's functions. Include it in one source file of a program, or of a library for LD_PRELOAD, which then reads
// RST_FAULT="KIND N" from the environment.
#pragma once

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>

#include <dlfcn.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace rstorch::faults {

enum class Kind { none, no_space, io_error, short_write, kill };

struct Plan {
  Kind kind = Kind::none;
  long at = 0;    // the operation that is hit, from 1; 0: none
  long seen = 0;  // so far
};
inline Plan plan;

// Called after an operation that succeeded: what another process does at that moment, or a look at what was done.
inline std::function<void(const char* path)> after_mkdir;
inline std::function<void(int file)> after_fsync;

// From now on; returns what was seen before.
inline void arm(Kind kind, long at) { plan = {kind, at, 0}; }
inline long disarm() {
  const long seen = plan.seen;
  plan = {};
  return seen;
}

inline void read_environment() {
  const char* text = std::getenv("RST_FAULT");
  char kind[16] = {};
  long at = 0;
  if (text == nullptr || std::sscanf(text, "%15s %ld", kind, &at) != 2) return;
  const std::string name = kind;
  arm(name == "no_space"   ? Kind::no_space
      : name == "io_error" ? Kind::io_error
      : name == "short"    ? Kind::short_write
                           : Kind::kill,
      at);
}

// True if this operation is the one to fail; errno is set. Does not return from a kill.
inline bool strikes() {
  if (plan.kind == Kind::none || ++plan.seen != plan.at) return false;
  if (plan.kind == Kind::kill) ::kill(::getpid(), SIGKILL);
  errno = plan.kind == Kind::io_error ? EIO : ENOSPC;
  return true;
}

template <class F>
F* real(const char* name) {
  return reinterpret_cast<F*>(dlsym(RTLD_NEXT, name));
}

}  // namespace rstorch::faults

extern "C" {

int open(const char* path, int flags, ...) {
  static const auto real = rstorch::faults::real<int(const char*, int, ...)>("open");
  mode_t mode = 0;
  if (flags & O_CREAT) {
    va_list arguments;
    va_start(arguments, flags);
    mode = va_arg(arguments, mode_t);
    va_end(arguments);
  }
  return rstorch::faults::strikes() ? -1 : real(path, flags, mode);
}

ssize_t write(int file, const void* bytes, size_t count) {
  static const auto real = rstorch::faults::real<ssize_t(int, const void*, size_t)>("write");
  using rstorch::faults::Kind;
  if (file <= STDERR_FILENO) return real(file, bytes, count);  // what a program says is not its data
  if (!rstorch::faults::strikes()) return real(file, bytes, count);
  // Half of it fits, the rest will not: the next call is struck too.
  if (rstorch::faults::plan.kind != Kind::short_write || count < 2) return -1;
  rstorch::faults::plan.at += 1;
  return real(file, bytes, count / 2);
}

// Nothing but a loss of power can tell whether data reached the disk, and waiting for it is what takes time in tests.
int fsync(int file) {
  if (rstorch::faults::strikes()) return -1;
  if (rstorch::faults::after_fsync) rstorch::faults::after_fsync(file);
  return 0;
}

int rename(const char* from, const char* to) noexcept {
  static const auto real = rstorch::faults::real<int(const char*, const char*)>("rename");
  return rstorch::faults::strikes() ? -1 : real(from, to);
}

int symlink(const char* target, const char* link) noexcept {
  static const auto real = rstorch::faults::real<int(const char*, const char*)>("symlink");
  return rstorch::faults::strikes() ? -1 : real(target, link);
}

int mkdir(const char* path, mode_t mode) noexcept {
  static const auto real = rstorch::faults::real<int(const char*, mode_t)>("mkdir");
  const int result = rstorch::faults::strikes() ? -1 : real(path, mode);
  if (result == 0 && rstorch::faults::after_mkdir) rstorch::faults::after_mkdir(path);
  return result;
}

// A close that fails has closed all the same.
int close(int file) {
  static const auto real = rstorch::faults::real<int(int)>("close");
  const bool struck = rstorch::faults::strikes();
  const int result = real(file);
  if (struck) errno = EIO;
  return struck ? -1 : result;
}

}  // extern "C"
