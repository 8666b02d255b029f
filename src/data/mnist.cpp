#include "data/mnist.h"

#include <algorithm>

#include "data/file.h"
#include "data/idx.h"

namespace rstorch::data {
namespace {

namespace fs = std::filesystem;

// The file of that name, plain before gzip: a plain file is mapped and costs nothing to open.
fs::path find_file(const fs::path& folder, const std::string& name) {
  for (const char* suffix : {"", ".gz"}) {
    const fs::path candidate = folder / (name + suffix);
    std::error_code ignored;
    if (fs::exists(candidate, ignored)) return candidate;
  }
  std::error_code ignored;
  const std::string why = fs::is_directory(folder, ignored) ? "a data file is missing"
                          : fs::exists(folder, ignored)     ? "this is a file, wanted a folder of IDX files"
                                                            : "there is no such folder";
  throw DataError(format("{}: {}; looked for {} and {}.gz", folder.string(), why, name, name),
                  "set data.path to the folder that has the files; scripts/fetch_dataset.sh mnist fetches MNIST into datasets/mnist");
}

void check_labels(const fs::path& path, const Tensor& labels, int64_t classes) {
  const uint8_t* const values = labels.data<uint8_t>();
  const uint8_t* const end = values + labels.numel();
  const uint8_t* const bad = std::find_if(values, end, [&](uint8_t label) { return label >= classes; });
  if (bad == end) return;
  throw damaged(path, size_t(8 + (bad - values)), format("label {} for sample {}", *bad, bad - values),
                format("0 to {}", classes - 1), "set classes to the number of classes of this data");
}

// In MNIST among the first few images.
uint8_t largest(const Tensor& images) {
  const uint8_t* const values = images.data<uint8_t>();
  uint8_t most = 1;
  for (int64_t i = 0; i < images.numel() && most < 255; ++i) most = std::max(most, values[i]);
  return most;
}

}  // namespace

MNIST::MNIST(Config config) : config_(std::move(config)) {
  const std::string part = config_.split == Split::train ? "train" : "t10k";
  const fs::path image_file = find_file(config_.path, part + "-images-idx3-ubyte");
  const fs::path label_file = find_file(config_.path, part + "-labels-idx1-ubyte");
  images_ = read_idx(image_file, 3);
  labels_ = read_idx(label_file, 1);
  if (images_.size(0) != labels_.size(0)) {
    throw damaged(label_file, 4, format("{} labels", labels_.size(0)),
                  format("{}, the number of images in {}", images_.size(0), image_file.string()));
  }
  if (images_.numel() == 0) {
    throw damaged(image_file, 4, format("images of shape {}", images_.shape().text()), "at least one image of one pixel");
  }
  check_labels(label_file, labels_, config_.classes);
  max_value_ = float(config_.max_value.value_or(largest(images_)));
  spec_ = {.x_shape = {1, images_.size(1), images_.size(2)}, .classes = config_.classes};
  for (int64_t i = 0; i < config_.classes; ++i) spec_.class_names.push_back(std::to_string(i));
}

std::string MNIST::describe() const {
  return format("mnist {} in {}: {} samples, {}", config::name_of(config_.split), config_.path, size(), spec_.text());
}

Sample MNIST::get(int64_t index, uint64_t epoch) const {
  const Sample one = empty_batch(spec_, 1);
  gather({&index, 1}, epoch, one);
  return row_of(one, 0);
}

void MNIST::gather(std::span<const int64_t> indices, uint64_t, const Sample& out) const {
  const int64_t pixels = images_.size(1) * images_.size(2);
  const uint8_t* const images = images_.data<uint8_t>();
  const uint8_t* const labels = labels_.data<uint8_t>();
  float* x = out.x.data<float>();
  int64_t* const y = out.y.data<int64_t>();
  for (size_t k = 0; k < indices.size(); ++k, x += pixels) {
    const uint8_t* const image = images + indices[k] * pixels;
    for (int64_t i = 0; i < pixels; ++i) x[i] = float(image[i]) / max_value_;
    y[k] = labels[indices[k]];
  }
}

config::Value MNIST::state() const { return config::Value::map({{"max_value", int64_t(max_value_)}}); }

void MNIST::load_state(const config::Value& state) {
  if (config_.max_value) return;
  max_value_ = float(state.at("max_value").as_int());
}

}  // namespace rstorch::data
