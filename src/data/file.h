// Reading data files whole.
#pragma once

#include <filesystem>
#include <string>

#include "base/error.h"
#include "tensor/tensor.h"

namespace rstorch::data {

// The bytes of a file, u8 [n]. A plain file is mapped, not copied: only pages that are used are read. A gzip file, told
// by its first bytes and not by its name, is decompressed and its checksums verified. Throws DataError.
Tensor read_bytes(const std::filesystem::path& path);

// "FILE: offset 16: got 3, wanted 4"
DataError damaged(const std::filesystem::path& path, size_t offset, const std::string& got, const std::string& wanted,
                  const std::string& hint = {});

}  // namespace rstorch::data
