// safetensors files: named tensors behind a JSON header, as PyTorch and Hugging Face read and write them.
//
// A file is: u64 little-endian length of the header, the header, the tensors' bytes without holes. Reading maps the
// file; tensors read from it share that memory (copy on write) and keep it alive. A file that breaks any rule of the
// format is a CheckpointError that names the file and the rule.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "nn/module.h"
#include "tensor/tensor.h"
#include "train/files.h"

namespace rstorch {

using nn::NamedTensor;

using Sink = std::function<void(std::span<const std::byte>)>;

// Writes in pieces to `sink`. Tensors may live on any device and have any strides.
void write_safetensors(const Sink& sink, std::span<const NamedTensor> tensors,
                       const std::map<std::string, std::string>& metadata = {});
// Bytes that write_safetensors makes.
size_t safetensors_bytes(std::span<const NamedTensor> tensors, const std::map<std::string, std::string>& metadata = {});

class SafetensorsFile {
 public:
  struct Entry {
    std::string name;
    DType dtype;
    Shape shape;
    size_t begin;  // in the buffer of tensors
    size_t end;
  };

  explicit SafetensorsFile(const files::Path& path);

  const files::Path& path() const { return path_; }
  const std::vector<Entry>& entries() const { return entries_; }  // in the order of their bytes
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  const Entry* find(std::string_view name) const;
  // Throws CheckpointError for a name that is not there.
  Tensor tensor(std::string_view name) const;
  Tensor tensor(const Entry& entry) const;
  std::vector<NamedTensor> tensors() const;

 private:
  void read_header(std::string_view header, size_t buffer_bytes);

  files::Path path_;
  std::shared_ptr<void> memory_;  // the whole file
  std::byte* buffer_ = nullptr;   // where the tensors begin
  std::vector<Entry> entries_;
  std::map<std::string, std::string> metadata_;
};

}  // namespace rstorch
