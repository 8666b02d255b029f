// What a CUDA kernel gave against what the CPU's gave.
#pragma once

#include <cmath>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "ops/ops.h"

namespace rstorch::testing {

// How far a result may be off, relative to 1 + |wanted|.
inline double tolerance(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return 5e-6;
    case DType::f64:
      return 1e-13;
    case DType::bf16:
      return 1e-2;
    case DType::f16:
      return 2e-3;
    default:
      return 0;
  }
}

inline void check_close(const Tensor& cuda, const Tensor& cpu, const std::string& what) {
  REQUIRE(cuda.shape() == cpu.shape());
  REQUIRE(cuda.dtype() == cpu.dtype());
  const std::vector<double> got = cuda.to("cpu").to_vector<double>(), wanted = cpu.to_vector<double>();
  for (size_t i = 0; i < got.size(); ++i) {
    const bool same = got[i] == wanted[i] || (std::isnan(got[i]) && std::isnan(wanted[i]));
    const bool close = std::abs(got[i] - wanted[i]) <= tolerance(cpu.dtype()) * (1 + std::abs(wanted[i]));
    if (!same && !close) {
      FAIL_CHECK(what << ": element " << i << " is " << got[i] << " on cuda, " << wanted[i] << " on cpu");
      return;
    }
  }
}

// Numbers that ops like: small, of both signs, whole ones for integers.
inline Tensor numbers(DType dtype, const Shape& shape) {
  const Tensor x = Tensor::randn(shape);
  return is_floating(dtype) ? x.to(dtype) : (x * 4).to(kInt32).to(dtype);
}

}  // namespace rstorch::testing
