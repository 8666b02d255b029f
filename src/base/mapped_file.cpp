#include "base/mapped_file.h"

#include <cerrno>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/descriptor.h"

namespace rstorch {

std::shared_ptr<MappedFile> MappedFile::open(const std::filesystem::path& path) {
  // A pipe that nobody writes to must not block.
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file.is_open()) return nullptr;
  struct stat status {};
  if (::fstat(file.number(), &status) != 0) return nullptr;
  if (!S_ISREG(status.st_mode)) {
    errno = ENODEV;
    return nullptr;
  }
  const auto bytes = size_t(status.st_size);
  void* memory = nullptr;
  if (bytes > 0) memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE, file.number(), 0);
  if (memory == MAP_FAILED) return nullptr;
  return std::shared_ptr<MappedFile>(new MappedFile(static_cast<std::byte*>(memory), bytes));
}

// Kernels before 5.14 refuse, and then pages come one by one.
void MappedFile::read_ahead() const noexcept { ::madvise(data_, bytes_, MADV_POPULATE_READ); }

MappedFile::~MappedFile() {
  if (data_) ::munmap(data_, bytes_);
}

}  // namespace rstorch
