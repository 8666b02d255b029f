#include "train/files.h"

#include <cerrno>
#include <cstring>
#include <vector>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

namespace rstorch::files {
namespace {

Path temporary_name(const Path& path) {
  return path.parent_path() / (std::string(kTemporary) + path.filename().string());
}

// Calls f until it was not interrupted by a signal.
template <class F>
auto retry(F&& f) {
  auto result = f();
  while (result < 0 && errno == EINTR) result = f();
  return result;
}

void write_all(int file, const Path& path, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = retry([&] { return ::write(file, bytes.data(), bytes.size()); });
    if (written < 0) fail("write", path, bytes.size());
    bytes = bytes.subspan(size_t(written));
  }
}

void sync(int file, const Path& path) {
  if (retry([&] { return ::fsync(file); }) != 0) fail("flush to the disk", path);
}

Descriptor open_folder(const Path& path) {
  Descriptor folder(retry([&] { return ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); }));
  if (!folder.is_open()) fail("open the folder", path);
  return folder;
}

// Where a link, and what it leads to, ends: a file that need not be there yet.
Path end_of_links(Path path) {
  std::error_code none;
  for (int links = 0; std::filesystem::is_symlink(path, none); ++links) {
    if (links == 40) {
      errno = ELOOP;
      fail("write to", path);
    }
    path = path.parent_path() / std::filesystem::read_symlink(path, none);
  }
  return path;
}

}  // namespace

bool is_disk_full(const Error& error) { return error.code() == CheckpointError("", "", kDiskFull).code(); }

void fail(std::string_view operation, const Path& path, size_t bytes) {
  const int reason = errno;
  std::string hint;
  if (reason == ENOSPC || reason == EDQUOT) {
    std::error_code no_space;
    const auto left = std::filesystem::space(path.has_parent_path() ? path.parent_path() : ".", no_space);
    std::vector<std::string> room;
    if (bytes > 0) room.push_back(format("{} bytes to write", bytes));
    const bool known = path != "stdout" && !no_space;  // who knows where stdout leads
    if (known) room.push_back(format("{} bytes free", left.available));
    throw Failure(reason,
                  format("cannot {} {}: the disk is full: {}{}", operation, path.string(), std::strerror(reason),
                         room.empty() ? "" : format(" ({})", join(room, ", "))),
                  "free some space and start it again with --resume, or put the run elsewhere with run.dir", kDiskFull);
  }
  if (reason == EACCES || reason == EPERM || reason == EROFS)
    hint = "check the permissions, or put the run elsewhere with run.dir";
  throw Failure(reason, format("cannot {} {}: {}", operation, path.string(), std::strerror(reason)), hint);
}

Writer::Writer(const Path& path)
    : path_(path), file_(retry([&] { return ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666); })) {
  if (!file_.is_open()) fail("create", path_);
}

void Writer::write(std::span<const std::byte> bytes) { write_all(file_.number(), path_, bytes); }

void Writer::finish() {
  sync(file_.number(), path_);
  // Network file systems report a full disk here. The descriptor is gone whatever close says.
  if (::close(file_.release()) != 0 && errno != EINTR) fail("close", path_);
}

AtomicFile::AtomicFile(const Path& path) : path_(path), temporary_(temporary_name(path)), writer_(temporary_) {}

AtomicFile::~AtomicFile() {
  if (!finished_) ::unlink(temporary_.c_str());
}

void AtomicFile::finish() {
  writer_.finish();
  move(temporary_, path_);
  finished_ = true;
  sync_folder(path_.parent_path());
}

namespace {

// What a run is advised to do about a full disk is no help with any other file.
template <class F>
void with_advice_for_output(F&& f) {
  try {
    f();
  } catch (const CheckpointError& e) {
    throw CheckpointError(e.what(), "free some space, or write it elsewhere", e.code() % 100);
  }
}

}  // namespace

Output::Output(const Path& path) try : path_(path == "-" ? Path("stdout") : path) {
  std::error_code ignored;
  const auto kind = std::filesystem::status(path, ignored).type();
  if (path == "-") {
    stream_ = Descriptor(::dup(STDOUT_FILENO));
  } else if (kind == std::filesystem::file_type::not_found || kind == std::filesystem::file_type::regular) {
    file_.emplace(end_of_links(path));
    return;
  } else {
    stream_ = Descriptor(retry([&] { return ::open(path.c_str(), O_WRONLY | O_CLOEXEC); }));
  }
  if (!stream_.is_open()) fail("write to", path_);
} catch (const CheckpointError& e) {
  throw UsageError(e.what(), "name a file in a folder that is there and can be written to");
}

void Output::write(std::string_view text) {
  with_advice_for_output([&] {
    if (file_) return file_->write(text);
    write_all(stream_.number(), path_, std::as_bytes(std::span(text)));
  });
}

void Output::finish() {
  with_advice_for_output([&] {
    if (file_) return file_->finish();
    if (::close(stream_.release()) != 0 && errno != EINTR) fail("close", path_);
  });
}

LineFile::LineFile(const Path& path)
    : path_(path), file_(retry([&] { return ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666); })) {
  if (!file_.is_open()) fail("open", path_);
}

void LineFile::append(std::string_view lines) {
  const int64_t before = size();
  try {
    write_all(file_.number(), path_, std::as_bytes(std::span(lines)));
  } catch (const CheckpointError&) {
    [[maybe_unused]] const int cut = ::ftruncate(file_.number(), before);  // nothing more can be done if it fails too
    throw;
  }
}

int64_t LineFile::size() const {
  const off_t end = ::lseek(file_.number(), 0, SEEK_END);
  if (end < 0) fail("read the size of", path_);
  return int64_t(end);
}

void LineFile::cut(int64_t size) {
  if (::ftruncate(file_.number(), size) != 0) fail("shorten", path_);
}

void LineFile::sync() { files::sync(file_.number(), path_); }

Descriptor try_lock_folder(const Path& folder) {
  Descriptor handle = open_folder(folder);
  if (retry([&] { return ::flock(handle.number(), LOCK_EX | LOCK_NB); }) == 0) return handle;
  if (errno == EWOULDBLOCK) return {};
  fail("lock the folder", folder);
}

bool is_there(const Path& path) {
  std::error_code ignored;
  return std::filesystem::exists(path, ignored);
}

void read_pieces(const Path& path, const std::function<void(std::string_view)>& piece) {
  const Descriptor file(retry([&] { return ::open(path.c_str(), O_RDONLY | O_CLOEXEC); }));
  if (!file.is_open()) fail("open", path);
  std::vector<char> buffer(1 << 16);
  for (;;) {
    const ssize_t got = retry([&] { return ::read(file.number(), buffer.data(), buffer.size()); });
    if (got < 0) fail("read", path);
    if (got == 0) return;
    piece({buffer.data(), size_t(got)});
  }
}

std::vector<std::string> names_in(const Path& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (std::filesystem::directory_iterator i(folder, error), end; !error && i != end; i.increment(error)) {
    names.push_back(i->path().filename().string());
  }
  if (error) {
    errno = error.value();
    fail("list", folder);
  }
  return names;
}

std::string read_text(const Path& path) {
  std::string text;
  read_pieces(path, [&](std::string_view piece) { text += piece; });
  return text;
}

void write_atomically(const Path& path, std::string_view text) {
  AtomicFile file(path);
  file.write(text);
  file.finish();
}

void make_folders(const Path& path) {
  const auto is_folder = [&] {
    std::error_code ignored;
    return std::filesystem::is_directory(path, ignored);
  };
  if (path.empty() || is_folder()) return;
  make_folders(path.parent_path());
  if (::mkdir(path.c_str(), 0777) != 0) {
    const int reason = errno;
    if (is_folder()) return;  // another process made it
    errno = reason == EEXIST ? ENOTDIR : reason;
    fail("make the folder", path);
  }
  sync_folder(path.parent_path());
}

void sync_folder(const Path& path) {
  const Path folder = path.empty() ? Path(".") : path;
  sync(open_folder(folder).number(), folder);
}

void move(const Path& from, const Path& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) fail(format("rename {} to", from.filename().string()), to);
}

void move_link(const Path& link, const Path& target) {
  const Path temporary = temporary_name(link);
  ::unlink(temporary.c_str());
  if (::symlink(target.c_str(), temporary.c_str()) != 0) fail("make the link", temporary);
  try {
    move(temporary, link);
  } catch (const CheckpointError&) {
    ::unlink(temporary.c_str());
    throw;
  }
  sync_folder(link.parent_path());
}

void remove_all(const Path& path) {
  std::error_code error;
  std::filesystem::remove_all(path, error);
  if (!error) return;
  errno = error.value();
  fail("remove", path);
}

}  // namespace rstorch::files
