// A file as memory.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>

namespace rstorch {

// All bytes of a regular file. Private and writable: who writes into them gets pages of its own, the file stays as it
// is. Only pages that are used are read.
class MappedFile {
 public:
  // Null, and errno says why; ENODEV: not a regular file.
  static std::shared_ptr<MappedFile> open(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::byte* data() const { return data_; }  // null for an empty file
  size_t bytes() const { return bytes_; }
  // For who will read all of it, from the first byte to the last: one call instead of a page fault for every few pages.
  void read_ahead() const noexcept;

 private:
  MappedFile(std::byte* data, size_t bytes) : data_(data), bytes_(bytes) {}

  std::byte* data_;
  size_t bytes_;
};

}  // namespace rstorch
