#include "data/dataset.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "base/error.h"
#include "tensor/arithmetic.h"
#include "tensor/generator.h"

namespace rstorch::data {
namespace {

Tensor row_of(const Tensor& rows, int64_t row) {
  const int dims = rows.dim();
  return rows.alias(rows.shape().slice(1, dims), rows.strides().slice(1, dims),
                    rows.offset() + row * rows.strides()[0]);
}

void copy_row(const Tensor& from, const Tensor& rows, int64_t row, std::string_view what) {
  const Tensor to = row_of(rows, row);
  if (from.shape() != to.shape() || from.dtype() != to.dtype()) {
    throw DataError(format("{} is {} {}, wanted {} {} as for the other samples", what, from.shape().text(),
                           name_of(from.dtype()), to.shape().text(), name_of(to.dtype())));
  }
  if (!from.is_contiguous()) {
    copy_into(to, from);
  } else if (from.bytes() > 0) {
    std::memcpy(to.raw_data(), from.raw_data(), from.bytes());
  }
}

Shape with_rows(const Shape& shape, int64_t rows) {
  Shape out = shape;
  out.insert(0, rows);
  return out;
}

}  // namespace

std::string SampleSpec::text() const {
  const std::string x = format("{} {}", x_shape.text(), name_of(x_dtype));
  if (is_classification()) return format("{} -> {} classes", x, classes);
  return format("{} -> {} {}", x, y_shape.text(), name_of(y_dtype));
}

void Dataset::gather(std::span<const int64_t> indices, uint64_t epoch, const Sample& out) const {
  for (size_t k = 0; k < indices.size(); ++k) {
    const Sample sample = get(indices[k], epoch);
    copy_row(sample.x, out.x, int64_t(k), "x");
    copy_row(sample.y, out.y, int64_t(k), "y");
  }
}

void Dataset::fit(std::span<const int64_t>) {}
void Dataset::load_state(const config::Value&) {}

Subset::Subset(DatasetPtr dataset, std::vector<int64_t> indices)
    : dataset_(std::move(dataset)), indices_(std::move(indices)) {
  for (const int64_t index : indices_) {
    if (index < 0 || index >= dataset_->size()) {
      throw ArgumentError(format("Subset: index {} of a dataset of {} samples", index, dataset_->size()));
    }
  }
}

std::string Subset::describe() const { return format("{} samples of: {}", size(), dataset_->describe()); }

Sample Subset::get(int64_t index, uint64_t epoch) const { return dataset_->get(indices_.at(size_t(index)), epoch); }

void Subset::gather(std::span<const int64_t> indices, uint64_t epoch, const Sample& out) const {
  std::vector<int64_t> inner(indices.size());
  std::ranges::transform(indices, inner.begin(), [&](int64_t i) { return indices_.at(size_t(i)); });
  dataset_->gather(inner, epoch, out);
}

SplitIndices split_indices(int64_t size, double fraction, uint64_t seed) {
  if (!(fraction >= 0 && fraction <= 1)) throw ArgumentError(format("split: fraction {}, wanted 0 to 1", fraction));
  const Tensor hashes = Tensor::empty({size}, {.dtype = DType::f64});
  fill_uniform(hashes, {.seed = seed, .purpose = Purpose::split}, 0, 1);
  const double* const hash = hashes.data<double>();
  std::vector<int64_t> rows(static_cast<size_t>(size));
  std::iota(rows.begin(), rows.end(), 0);
  const auto middle = rows.begin() + std::llround(fraction * double(size));
  std::nth_element(rows.begin(), middle, rows.end(),
                   [&](int64_t a, int64_t b) { return std::pair(hash[a], a) < std::pair(hash[b], b); });
  SplitIndices out{{rows.begin(), middle}, {middle, rows.end()}};
  std::ranges::sort(out.first);
  std::ranges::sort(out.rest);
  return out;
}

Sample empty_batch(const SampleSpec& spec, int64_t rows) {
  return {Tensor::empty(with_rows(spec.x_shape, rows), {.dtype = spec.x_dtype}),
          Tensor::empty(with_rows(spec.y_shape, rows), {.dtype = spec.y_dtype})};
}

Sample row_of(const Sample& batch, int64_t row) { return {row_of(batch.x, row), row_of(batch.y, row)}; }

}  // namespace rstorch::data
