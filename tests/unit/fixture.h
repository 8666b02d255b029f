// The PyTorch parity fixtures of tests/fixtures (see its README), and comparing tensors with them.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include "tensor/tensor.h"

namespace rstorch::testing {

using Json = nlohmann::ordered_json;

inline std::string source_path(const std::string& path) {
  const char* root = std::getenv("RSTORCH_SOURCE_DIR");
  return std::string(root ? root : ".") + "/" + path;
}

class Fixture {
 public:
  explicit Fixture(const std::string& name) {
    std::ifstream in(source_path("tests/fixtures/" + name + ".safetensors"), std::ios::binary);
    bytes_.assign(std::istreambuf_iterator<char>(in), {});
    if (bytes_.size() < 8) throw std::runtime_error("no fixture " + name + ": set RSTORCH_SOURCE_DIR");
    uint64_t length = 0;
    std::memcpy(&length, bytes_.data(), 8);
    begin_ = 8 + length;
    header_ = Json::parse(bytes_.substr(8, length));
  }

  std::vector<std::string> cases() const {
    return Json::parse(header_["__metadata__"]["cases"].get<std::string>()).get<std::vector<std::string>>();
  }
  Json settings(const std::string& name) const { return Json::parse(header_["__metadata__"][name].get<std::string>()); }
  bool has(const std::string& name) const { return header_.contains(name); }
  // A copy, so that each test may change its own.
  Tensor tensor(const std::string& name) const {
    const Json& entry = header_.at(name);
    static const std::map<std::string, DType> dtypes = {
        {"F32", DType::f32}, {"F64", DType::f64}, {"I64", DType::i64}, {"I32", DType::i32}, {"BOOL", DType::boolean}};
    const Shape shape(entry["shape"].get<std::vector<int64_t>>());
    const Tensor out = Tensor::empty(shape, {.dtype = dtypes.at(entry["dtype"])});
    const char* const from = bytes_.data() + begin_ + entry["data_offsets"][0].get<size_t>();
    std::copy_n(from, out.bytes(), static_cast<char*>(out.raw_data()));  // none of an empty one, which has no memory
    return out;
  }
  // The tensors "case/prefix..." without that prefix.
  std::vector<std::string> names(const std::string& prefix) const {
    std::vector<std::string> out;
    for (const auto& [name, entry] : header_.items()) {
      if (name.rfind(prefix, 0) == 0) out.push_back(name.substr(prefix.size()));
    }
    return out;
  }

 private:
  std::string bytes_;
  size_t begin_ = 0;
  Json header_;
};

// Largest |a - b| / (1 + |b|), nan equal to nan; infinity for different shapes.
inline double difference(const Tensor& a, const Tensor& b) {
  if (!a.defined() || !b.defined() || a.shape() != b.shape()) return INFINITY;
  const std::vector<double> x = a.to_vector<double>(), y = b.to_vector<double>();
  double largest = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    if (x[i] == y[i] || (std::isnan(x[i]) && std::isnan(y[i]))) continue;
    const double error = std::abs(x[i] - y[i]) / (1 + std::abs(y[i]));
    largest = std::isnan(error) ? INFINITY : std::max(largest, error);
  }
  return largest;
}

inline bool bit_equal(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && a.dtype() == b.dtype() && a.is_contiguous() && b.is_contiguous() &&
         (a.bytes() == 0 || std::memcmp(a.raw_data(), b.raw_data(), a.bytes()) == 0);
}

// What f64 and f32 results may differ by from PyTorch's.
inline double tolerance(const Tensor& x) { return x.dtype() == DType::f64 ? 1e-10 : 1e-5; }

}  // namespace rstorch::testing
