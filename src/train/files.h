// The file system as a run needs it: what was written is on the disk, and a crash at any instruction leaves the old or
// the new contents, never half of one.
//
// Every failure is a CheckpointError, a files::Failure, that names the operation, the path and the system's reason.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/descriptor.h"
#include "base/error.h"

namespace rstorch::files {

using Path = std::filesystem::path;

// Names of what is being written or removed begin so: leftovers of a killed process.
inline constexpr std::string_view kTemporary = ".tmp-";

class Failure : public CheckpointError {
 public:
  Failure(int reason, const std::string& message, std::string hint, int yy = 1)
      : CheckpointError(message, std::move(hint), yy), reason_(reason) {}
  int reason() const { return reason_; }  // an errno

 private:
  int reason_;
};

// Throws "cannot write runs/a/metrics.jsonl: No space left on device", from errno. Of a full disk it also says how many
// `bytes` were to be written, and how many are free; that error's number is E0902.
[[noreturn]] void fail(std::string_view operation, const Path& path, size_t bytes = 0);
inline constexpr int kDiskFull = 2;
bool is_disk_full(const Error& error);

// A new file, written front to back. Without finish() nothing is promised about its contents.
class Writer {
 public:
  explicit Writer(const Path& path);
  void write(std::span<const std::byte> bytes);
  void write(std::string_view text) { write(std::as_bytes(std::span(text))); }
  void finish();  // flushes to the disk and closes

 private:
  Path path_;
  Descriptor file_;
};

// A file that takes its place, in one step, when it is finished. Until then nobody sees it; unfinished, it is removed.
class AtomicFile {
 public:
  explicit AtomicFile(const Path& path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(std::string_view text) { writer_.write(text); }
  void finish();

 private:
  Path path_;
  Path temporary_;
  Writer writer_;
  bool finished_ = false;
};

// Where a user wants something written: `-` is stdout; a pipe or a device is written to as it comes; a file takes its
// place when it is finished, at the end of the links that lead to it. A place where nothing can be made is a
// UsageError.
class Output {
 public:
  explicit Output(const Path& path);
  void write(std::string_view text);
  void finish();

 private:
  Path path_;
  Descriptor stream_;
  std::optional<AtomicFile> file_;
};

// A file that grows by whole lines: a line that does not fit on the disk leaves no part of it behind.
class LineFile {
 public:
  explicit LineFile(const Path& path);  // opened for appending; made where it is not there
  void append(std::string_view lines);
  void sync();
  int64_t size() const;
  void cut(int64_t size);
  const Path& path() const { return path_; }

 private:
  Path path_;
  Descriptor file_;
};

// Holds a folder for this process. Not open: another process holds it.
Descriptor try_lock_folder(const Path& folder);

bool is_there(const Path& path);
std::vector<std::string> names_in(const Path& folder);  // in no order
std::string read_text(const Path& path);
// The contents in pieces, front to back.
void read_pieces(const Path& path, const std::function<void(std::string_view)>& piece);
void write_atomically(const Path& path, std::string_view text);
void make_folders(const Path& path);
void sync_folder(const Path& path);
void move(const Path& from, const Path& to);           // atomic; replaces a file, not a folder that has something in it
void move_link(const Path& link, const Path& target);  // the link shows the old or the new target at any time
void remove_all(const Path& path);

}  // namespace rstorch::files
