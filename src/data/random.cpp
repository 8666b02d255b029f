#include "data/random.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "tensor/generator.h"

namespace rstorch::data {
namespace {

// y depends on at most so many elements of x, evenly spaced: enough to learn, and free beside making x.
constexpr int64_t kInputs = 64;

enum Stream : uint32_t { samples, targets, weights };

}  // namespace

void Random::Config::validate(const config::Value& at, config::Report& report) const {
  if (classes.has_value() == target_shape.empty()) return;
  report.error(config::Code::conflict, classes ? "classes and target_shape contradict" : "what is the target?")
      .at(at)
      .help("give either classes or target_shape");
}

Random::Random(Config config) : config_(std::move(config)) {
  spec_.x_shape = config_.shape;
  if (config_.classes) {
    spec_.classes = *config_.classes;
  } else {
    spec_.y_shape = config_.target_shape;
    spec_.y_dtype = DType::f32;
  }
  const int64_t outputs = config_.classes.value_or(spec_.y_shape.numel());
  weight_ = Tensor::empty({outputs, std::min(kInputs, spec_.x_shape.numel())});
  fill_normal(weight_, key(weights, 0), 0, 1 / std::sqrt(double(weight_.size(1))));
}

std::string Random::describe() const { return format("random: {} samples, {}", size(), spec_.text()); }

RandomKey Random::key(uint32_t stream, int64_t index) const {
  return {.seed = uint64_t(config_.seed), .purpose = Purpose::data, .layer = stream, .step = uint64_t(index)};
}

Sample Random::get(int64_t index, uint64_t epoch) const {
  const Sample one = empty_batch(spec_, 1);
  gather({&index, 1}, epoch, one);
  return row_of(one, 0);
}

void Random::gather(std::span<const int64_t> indices, uint64_t, const Sample& out) const {
  std::vector<float> outputs(size_t(weight_.size(0)));
  for (size_t k = 0; k < indices.size(); ++k) {
    const Sample row = row_of(out, int64_t(k));
    fill_normal(row.x, key(samples, indices[k]), 0, 1);
    write_outputs(indices[k], row.x, outputs);
    if (config_.classes) {
      *row.y.data<int64_t>() = std::ranges::max_element(outputs) - outputs.begin();
    } else {
      std::ranges::copy(outputs, row.y.data<float>());
    }
  }
}

void Random::write_outputs(int64_t index, const Tensor& x, std::span<float> outputs) const {
  if (!config_.learnable) {
    const Tensor noise = Tensor::wrap(outputs.data(), {int64_t(outputs.size())}, DType::f32, nullptr);
    fill_normal(noise, key(targets, index), 0, 1);
    return;
  }
  const int64_t inputs = weight_.size(1);
  const float* const values = x.data<float>();
  const float* weight = weight_.data<float>();
  for (float& output : outputs) {
    output = 0;
    for (int64_t i = 0; i < inputs; ++i) output += *weight++ * values[i * x.numel() / inputs];
  }
}

}  // namespace rstorch::data
