#include "data/normalize.h"

#include "base/error.h"

namespace rstorch::data {

void Normalize::Config::validate(const config::Value& at, config::Report& report) const {
  if (mean.size() == std.size() || mean.size() == 1 || std.size() == 1) return;
  report.error(config::Code::conflict, "mean and std do not fit together")
      .at(at)
      .label(format("{} values of mean, {} of std", mean.size(), std.size()))
      .help("give one value per channel in both, or a single one for all channels");
}

Normalize::Normalize(Config config) : config_(std::move(config)) {
  for (const double value : config_.std) {
    if (!(value > 0)) throw ArgumentError(format("Normalize: std {}, wanted above 0", value));
  }
  if (config_.mean.empty() || config_.std.empty()) throw ArgumentError("Normalize: mean or std is empty");
}

SampleSpec Normalize::output(const SampleSpec& in) const {
  if (in.x_dtype != DType::f32 || in.x_shape.empty()) {
    throw DataError(format("Normalize: samples are {} {}, wanted f32 with a channel dimension", in.x_shape.text(),
                           name_of(in.x_dtype)));
  }
  for (const size_t given : {config_.mean.size(), config_.std.size()}) {
    if (given != 1 && int64_t(given) != in.x_shape[0]) {
      throw DataError(format("Normalize: {} values of mean or std for samples {} with {} channels", given,
                             in.x_shape.text(), in.x_shape[0]),
                      "give one value per channel, or one for all");
    }
  }
  return in;
}

void Normalize::apply_rows(const Sample& batch) const {
  const int64_t channels = batch.x.size(1);
  const int64_t rows = batch.x.size(0) * channels;
  if (rows == 0) return;
  const int64_t inner = batch.x.numel() / rows;
  float* x = batch.x.data<float>();
  for (int64_t row = 0; row < rows; ++row, x += inner) {
    const auto channel = size_t(row % channels);
    const auto mean = float(config_.mean.size() == 1 ? config_.mean[0] : config_.mean[channel]);
    const auto std = float(config_.std.size() == 1 ? config_.std[0] : config_.std[channel]);
    for (int64_t i = 0; i < inner; ++i) x[i] = (x[i] - mean) / std;
  }
}

}  // namespace rstorch::data
