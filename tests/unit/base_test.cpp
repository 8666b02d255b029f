// src/base: half floats, shapes, devices, numbers, error texts, threads.
#include <cmath>
#include <csignal>

#include <doctest/doctest.h>

#include "base/device.h"
#include "base/dtype.h"
#include "base/error.h"
#include "base/quiet_thread.h"
#include "base/scalar.h"
#include "base/shape.h"

using namespace rstorch;

namespace {

// What the bits mean, by the definition of the format and in double: sign, exponent, mantissa.
double meaning(uint16_t bits, int exponent_bits, int mantissa_bits) {
  const int bias = (1 << (exponent_bits - 1)) - 1;
  const int exponent = (bits >> mantissa_bits) & ((1 << exponent_bits) - 1),
            mantissa = bits & ((1 << mantissa_bits) - 1);
  const double sign = bits & 0x8000 ? -1 : 1;
  if (exponent == (1 << exponent_bits) - 1) return mantissa ? NAN : sign * INFINITY;
  if (exponent == 0) return sign * std::ldexp(mantissa, 1 - bias - mantissa_bits);
  return sign * std::ldexp((1 << mantissa_bits) + mantissa, exponent - bias - mantissa_bits);
}

// Checks every bit pattern, and that numbers between two neighbours round to the nearer one, ties to the even one.
template <class Half>
void check_format(int exponent_bits, int mantissa_bits) {
  for (uint32_t pattern = 0; pattern < 65536; ++pattern) {
    Half half;
    half.bits = uint16_t(pattern);
    const double wanted = meaning(half.bits, exponent_bits, mantissa_bits);
    const float value = float(half);
    if (std::isnan(wanted)) {
      CHECK(std::isnan(value));
      CHECK(std::isnan(float(Half(value))));
      continue;
    }
    if (double(value) != wanted || Half(value).bits != half.bits) FAIL_CHECK("pattern ", pattern);
    const double above = meaning(uint16_t(pattern + 1), exponent_bits, mantissa_bits);
    if (!std::isfinite(wanted) || !std::isfinite(above) || (pattern & 0x7fff) == 0x7fff) continue;
    const float middle = float((wanted + above) / 2);
    const uint16_t even = uint16_t(pattern % 2 == 0 ? pattern : pattern + 1);
    const float toward = std::nextafter(middle, value), away = std::nextafter(middle, float(above));
    if (Half(middle).bits != even || Half(toward).bits != half.bits || Half(away).bits != pattern + 1) {
      FAIL_CHECK("rounding after pattern ", pattern);
    }
  }
}

}  // namespace

TEST_CASE("a quiet thread takes no signals, and whoever starts it takes those that it took before") {
  const auto is_blocked = [](int signal) {
    sigset_t blocked;
    pthread_sigmask(SIG_SETMASK, nullptr, &blocked);
    return sigismember(&blocked, signal) == 1;
  };
  bool int_inside = false, term_inside = false;
  quiet_thread([&] {
    int_inside = is_blocked(SIGINT);
    term_inside = is_blocked(SIGTERM);
  }).join();
  CHECK(int_inside);
  CHECK(term_inside);
  CHECK_FALSE(is_blocked(SIGINT));
}

TEST_CASE("bf16 and f16: all patterns, rounding to nearest even") {
  check_format<bf16>(8, 7);
  check_format<f16>(5, 10);
  CHECK_EQ(float(f16(65519.0f)), 65504);
  CHECK(std::isinf(float(f16(65520.0f))));
  CHECK(std::isinf(float(f16(1e30f))));
  CHECK(std::isinf(float(bf16(3.4e38f))));
  CHECK(std::isnan(float(bf16(NAN))));
}

TEST_CASE("shapes") {
  const Shape shape = {2, 3, 4};
  CHECK_EQ(shape.dims(), 3);
  CHECK_EQ(shape.numel(), 24);
  CHECK_EQ(shape.text(), "[2, 3, 4]");
  CHECK_EQ(contiguous_strides(shape).text(), "[12, 4, 1]");
  CHECK_EQ(Shape{}.numel(), 1);
  CHECK_EQ(Shape({3, 0}).numel(), 0);
  CHECK_EQ(shape.slice(1, 3).text(), "[3, 4]");
  Shape grown = shape;
  grown.insert(1, 7);
  grown.erase(0);
  CHECK_EQ(grown.text(), "[7, 3, 4]");
  CHECK_NE(shape, grown);
  CHECK(is_contiguous({2, 1, 3}, {3, 99, 1}));
  CHECK(is_contiguous({0, 5}, {1, 7}));
  CHECK_FALSE(is_contiguous({2, 3}, {1, 2}));
  CHECK_THROWS_WITH_AS(Shape(std::vector<int64_t>(9, 1)), "a tensor has at most 8 dimensions, got 9", ShapeError);
}

TEST_CASE("broadcasting") {
  CHECK_EQ(broadcast_shapes({2, 1, 4}, {3, 1}, "add").text(), "[2, 3, 4]");
  CHECK_EQ(broadcast_shapes({}, {3}, "add").text(), "[3]");
  CHECK_EQ(broadcast_shapes({0, 4}, {1, 4}, "add").text(), "[0, 4]");
  CHECK_THROWS_WITH_AS(broadcast_shapes({2, 3}, {4}, "add"),
                       "add: shapes [2, 3] and [4] do not broadcast: dimension 1 from the end is 3 and 4", ShapeError);
}

TEST_CASE("devices") {
  CHECK_EQ(Device("cpu"), kCPU);
  CHECK_EQ(Device("meta"), kMeta);
  CHECK_EQ(Device("cuda:1").index, 1);
  CHECK_EQ(Device("cuda").text(), "cuda:0");
  CHECK_EQ(Device("cuda:1").text(), "cuda:1");
  for (const char* wrong : {"", "gpu", "cuda:", "cuda:x", "cuda:-1", "cpu:1"}) {
    INFO(wrong);
    CHECK_THROWS_AS(Device{wrong}, DeviceError);
  }
}

TEST_CASE("numbers and dtypes") {
  CHECK_EQ(Scalar(true).kind(), kBool);
  CHECK_EQ(Scalar(3).kind(), kInt64);
  CHECK_EQ(Scalar(3.5f).kind(), kFloat64);
  CHECK_EQ(Scalar(int64_t(1) << 62).as<int64_t>(), int64_t(1) << 62);
  CHECK_EQ(float(Scalar(2.5).as<bf16>()), 2.5f);
  CHECK_EQ(size_of(kBFloat16), 2);
  CHECK_EQ(name_of(kUInt8), "u8");
  CHECK_THROWS_WITH_AS(dispatch(Floats{}, kInt32, "exp", [](auto) {}), "exp: no kernel for dtype i32", DTypeError);
}

TEST_CASE("an error reports its number, place, module and hint") {
  ShapeError error("conv2d: x has 3 channels, weight wants 4", "check in_channels");
  CHECK_EQ(error.exit_code(), ExitCode::internal);
  error.prepend_module("conv1");
  error.prepend_module("layer1");
  error.set_position({"net.yaml", 12, 5});
  const std::string report = error.report();
  CHECK_EQ(report.rfind("error[E0102]: conv2d: x has 3 channels, weight wants 4", 0), 0);
  for (const char* part : {"net.yaml:12:5", "layer1.conv1", "check in_channels"}) {
    INFO(part, " in ", report);
    CHECK_NE(report.find(part), std::string::npos);
  }
  CHECK_EQ(DataError("x").exit_code(), ExitCode::data);
  CHECK_EQ(OutOfMemoryError("x").exit_code(), ExitCode::out_of_memory);
}
