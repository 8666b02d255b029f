// IDX files, the format of MNIST: a big-endian header (0, 0, 8 for u8, number of dimensions, their sizes), then the
// bytes.
#pragma once

#include <filesystem>

#include "tensor/tensor.h"

namespace rstorch::data {

// The u8 array of a plain or gzip IDX file that must have `dims` dimensions; no copy where read_bytes makes none.
// Throws DataError naming file, offset, got and wanted.
Tensor read_idx(const std::filesystem::path& path, int dims);

}  // namespace rstorch::data
