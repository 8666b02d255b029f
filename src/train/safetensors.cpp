#include "train/safetensors.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstring>

#include <nlohmann/json.hpp>

#include "base/mapped_file.h"
#include "ops/ops.h"
#include "train/json.h"

namespace rstorch {
namespace {

static_assert(std::endian::native == std::endian::little, "safetensors files are little-endian");

constexpr size_t kMaxHeader = 100'000'000;
constexpr size_t kAlignment = 8;

constexpr std::array<std::pair<std::string_view, DType>, 8> kDTypes = {{{"F32", DType::f32},
                                                                        {"F64", DType::f64},
                                                                        {"BF16", DType::bf16},
                                                                        {"F16", DType::f16},
                                                                        {"I64", DType::i64},
                                                                        {"I32", DType::i32},
                                                                        {"U8", DType::u8},
                                                                        {"BOOL", DType::boolean}}};

std::string_view format_name(DType dtype) {
  return std::find_if(kDTypes.begin(), kDTypes.end(), [&](const auto& entry) { return entry.second == dtype; })->first;
}

// Widest elements first, so that every tensor of the file is aligned.
std::vector<const NamedTensor*> file_order(std::span<const NamedTensor> tensors) {
  std::vector<const NamedTensor*> order;
  for (const NamedTensor& item : tensors) order.push_back(&item);
  std::stable_sort(order.begin(), order.end(), [](const NamedTensor* a, const NamedTensor* b) {
    return size_of(a->tensor.dtype()) > size_of(b->tensor.dtype());
  });
  return order;
}

std::string header_text(std::span<const NamedTensor* const> tensors,
                        const std::map<std::string, std::string>& metadata) {
  nlohmann::ordered_json header;
  if (!metadata.empty()) header["__metadata__"] = metadata;
  size_t offset = 0;
  for (const NamedTensor* item : tensors) {
    const Tensor& x = item->tensor;
    header[item->name] = {{"dtype", format_name(x.dtype())},
                          {"shape", x.shape().vector()},
                          {"data_offsets", {offset, offset + x.bytes()}}};
    offset += x.bytes();
  }
  std::string text = tensors.empty() && metadata.empty() ? "{}" : header.dump();
  text.append((kAlignment - text.size() % kAlignment) % kAlignment, ' ');
  return text;
}

// --- reading
// ------------------------------------------------------------------------------------------------------------

[[noreturn]] void damaged(const files::Path& path, const std::string& why) {
  throw CheckpointError(format("{}: not a valid safetensors file: {}", path.string(), why),
                        "the file may be damaged or cut off; take another checkpoint");
}

std::shared_ptr<MappedFile> map_file(const files::Path& path) {
  const std::shared_ptr<MappedFile> file = MappedFile::open(path);
  if (!file && errno == ENODEV) damaged(path, "it is not a regular file");
  if (!file) files::fail("open", path);
  if (file->bytes() >= sizeof(uint64_t)) return file;
  damaged(path, format("it has {} bytes, the header length alone takes 8", file->bytes()));
}

class EntryReader {
 public:
  EntryReader(const files::Path& path, const std::string& name) : path_(path), name_(name) {}

  SafetensorsFile::Entry read(const nlohmann::ordered_json& entry) const {
    if (!entry.is_object()) wrong("is not an object");
    for (const auto& [key, unused] : entry.items()) {
      if (key != "dtype" && key != "shape" && key != "data_offsets") wrong(format("has the unknown key {}", key));
    }
    const std::vector<size_t> offsets = numbers(entry, "data_offsets");
    if (offsets.size() != 2 || offsets[0] > offsets[1]) wrong("has data_offsets that are not [begin, end]");
    SafetensorsFile::Entry out{name_, dtype(entry), shape(entry), offsets[0], offsets[1]};
    const size_t wanted = bytes_of(out);
    if (out.end - out.begin != wanted) {
      wrong(format("has {} bytes, {} {} needs {}", out.end - out.begin, rstorch::name_of(out.dtype), out.shape.text(),
                   wanted));
    }
    return out;
  }

 private:
  [[noreturn]] void wrong(const std::string& why) const { damaged(path_, format("the entry {} {}", name_, why)); }

  std::vector<size_t> numbers(const nlohmann::ordered_json& entry, const char* key) const {
    const auto list = entry.find(key);
    if (list == entry.end() || !list->is_array()) wrong(format("has no list {}", key));
    std::vector<size_t> out;
    for (const nlohmann::ordered_json& item : *list) {
      if (!item.is_number_unsigned()) wrong(format("has a {} that is not a list of counts", key));
      out.push_back(item.get<size_t>());
    }
    return out;
  }

  DType dtype(const nlohmann::ordered_json& entry) const {
    const auto name = entry.find("dtype");
    if (name == entry.end() || !name->is_string()) wrong("has no dtype");
    for (const auto& [known, dtype] : kDTypes) {
      if (name->get_ref<const std::string&>() == known) return dtype;
    }
    wrong(format("has the dtype {}, which rstorch does not have", name->get<std::string>()));
  }

  Shape shape(const nlohmann::ordered_json& entry) const {
    const std::vector<size_t> sizes = numbers(entry, "shape");
    if (sizes.size() > size_t(kMaxDims))
      wrong(format("has {} dimensions, at most {} are supported", sizes.size(), kMaxDims));
    Shape out;
    for (const size_t size : sizes) {
      if (size > size_t(INT64_MAX)) wrong("has a size out of range");
      out.push_back(int64_t(size));
    }
    return out;
  }

  size_t bytes_of(const SafetensorsFile::Entry& entry) const {
    size_t bytes = size_of(entry.dtype);
    for (const int64_t size : entry.shape) {
      if (__builtin_mul_overflow(bytes, size_t(size), &bytes)) wrong("has a shape that overflows");
    }
    return bytes;
  }

  const files::Path& path_;
  const std::string& name_;
};

}  // namespace

void write_safetensors(const Sink& sink, std::span<const NamedTensor> tensors,
                       const std::map<std::string, std::string>& metadata) {
  const std::vector<const NamedTensor*> order = file_order(tensors);
  const std::string header = header_text(order, metadata);
  const uint64_t length = header.size();
  sink(std::as_bytes(std::span(&length, 1)));
  sink(std::as_bytes(std::span(header)));
  for (const NamedTensor* item : order) {
    const Tensor x = contiguous(to(item->tensor.detach(), kCPU));
    sink({static_cast<const std::byte*>(x.raw_data()), x.bytes()});
  }
}

size_t safetensors_bytes(std::span<const NamedTensor> tensors, const std::map<std::string, std::string>& metadata) {
  size_t bytes = sizeof(uint64_t) + header_text(file_order(tensors), metadata).size();
  for (const NamedTensor& item : tensors) bytes += item.tensor.bytes();
  return bytes;
}

SafetensorsFile::SafetensorsFile(const files::Path& path) : path_(path) {
  const std::shared_ptr<MappedFile> mapping = map_file(path);
  memory_ = mapping;
  uint64_t length = 0;
  std::memcpy(&length, mapping->data(), sizeof length);
  if (length > kMaxHeader) damaged(path, format("its header has {} bytes, at most {} are allowed", length, kMaxHeader));
  if (length > mapping->bytes() - sizeof length) {
    damaged(path, format("its header has {} bytes, the file only {}", length, mapping->bytes()));
  }
  buffer_ = mapping->data() + sizeof length + length;
  read_header({reinterpret_cast<const char*>(mapping->data()) + sizeof length, length},
              mapping->bytes() - sizeof length - length);
}

void SafetensorsFile::read_header(std::string_view header, size_t buffer_bytes) {
  const nlohmann::ordered_json tree = parse_json_tree(header, path_.string());
  if (!tree.is_object()) damaged(path_, "its header is not an object");
  for (const auto& [name, entry] : tree.items()) {
    if (name != "__metadata__") {
      entries_.push_back(EntryReader(path_, name).read(entry));
      continue;
    }
    if (!entry.is_object()) damaged(path_, "its __metadata__ is not an object");
    for (const auto& [key, text] : entry.items()) {
      if (!text.is_string()) damaged(path_, "its __metadata__ has a value that is not text");
      metadata_.emplace(key, text.get<std::string>());
    }
  }
  std::sort(entries_.begin(), entries_.end(),
            [](const Entry& a, const Entry& b) { return std::tie(a.begin, a.end) < std::tie(b.begin, b.end); });
  size_t expected = 0;
  for (const Entry& entry : entries_) {
    if (entry.begin != expected) {
      damaged(path_, format("the entry {} begins at byte {}, the one before it ends at {}", entry.name, entry.begin,
                            expected));
    }
    expected = entry.end;
  }
  if (expected != buffer_bytes) {
    damaged(path_, format("its tensors take {} bytes, the file has {} for them", expected, buffer_bytes));
  }
}

const SafetensorsFile::Entry* SafetensorsFile::find(std::string_view name) const {
  for (const Entry& entry : entries_) {
    if (entry.name == name) return &entry;
  }
  return nullptr;
}

Tensor SafetensorsFile::tensor(std::string_view name) const {
  if (const Entry* entry = find(name)) return tensor(*entry);
  throw CheckpointError(format("{}: there is no tensor {}", path_.string(), name));
}

Tensor SafetensorsFile::tensor(const Entry& entry) const {
  std::byte* const data = buffer_ + entry.begin;
  if (reinterpret_cast<uintptr_t>(data) % size_of(entry.dtype) == 0)
    return Tensor::wrap(data, entry.shape, entry.dtype, memory_);
  const Tensor copy = Tensor::empty(entry.shape, {.dtype = entry.dtype});  // another program's file need not be aligned
  std::memcpy(copy.raw_data(), data, entry.end - entry.begin);
  return copy;
}

std::vector<NamedTensor> SafetensorsFile::tensors() const {
  std::vector<NamedTensor> out;
  for (const Entry& entry : entries_) out.push_back({entry.name, tensor(entry)});
  return out;
}

}  // namespace rstorch
