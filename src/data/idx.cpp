#include "data/idx.h"

#include "data/file.h"

namespace rstorch::data {
namespace {

namespace fs = std::filesystem;

uint32_t big_endian(const uint8_t* bytes) {
  return uint32_t(bytes[0]) << 24 | uint32_t(bytes[1]) << 16 | uint32_t(bytes[2]) << 8 | bytes[3];
}

constexpr uint32_t kU8 = 0x0800;

std::string content_of(uint32_t magic) {
  if (magic == (kU8 | 1)) return " (labels)";
  if (magic == (kU8 | 3)) return " (images)";
  return "";
}

void check_magic(const fs::path& path, uint32_t magic, int dims) {
  const uint32_t wanted = kU8 | uint32_t(dims);
  if (magic == wanted) return;
  const bool swapped = !content_of(magic).empty();
  throw damaged(path, 0, format("magic number {}{}", magic, content_of(magic)),
                format("{}{}", wanted, content_of(wanted)),
                swapped ? "the names of the image and label files seem to be swapped" : "is this an IDX file?");
}

}  // namespace

Tensor read_idx(const fs::path& path, int dims) {
  const Tensor bytes = read_bytes(path);
  const uint8_t* const begin = bytes.data<uint8_t>();
  const size_t header = 4 + 4 * size_t(dims);
  if (bytes.bytes() < header) {
    throw damaged(path, bytes.bytes(), "the end of the file", format("an IDX header of {} bytes", header),
                  "fetch or copy the file again");
  }
  check_magic(path, big_endian(begin), dims);
  Shape shape;
  size_t count = 1;
  for (int i = 0; i < dims; ++i) {
    const uint32_t size = big_endian(begin + 4 + 4 * i);
    shape.push_back(size);
    if (__builtin_mul_overflow(count, size_t(size), &count)) {
      throw damaged(path, 4 + 4 * size_t(i), format("a size of {}", size), "sizes whose product is below 2^64");
    }
  }
  if (bytes.bytes() - header != count) {
    throw damaged(path, header, format("{} bytes", bytes.bytes() - header),
                  format("{}, for the shape {} of the header", count, shape.text()), "fetch or copy the file again");
  }
  return bytes.alias(shape, contiguous_strides(shape), int64_t(header));
}

}  // namespace rstorch::data
