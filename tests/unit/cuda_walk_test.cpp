// Index arithmetic of the CUDA kernels, on the CPU: it is plain C++.
#include <algorithm>
#include <random>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "kernels/cuda/walk.h"

using namespace rstorch;
using namespace rstorch::kernels;

namespace {

// Offset of element `index` of a row-major walk, by division.
int64_t naive_offset(const Shape& shape, const Strides& strides, int64_t index) {
  int64_t offset = 0;
  for (int i = shape.dims() - 1; i >= 0; --i) {
    offset += index % shape[i] * strides[i];
    index /= shape[i];
  }
  return offset;
}

}  // namespace

TEST_CASE("Divider divides") {
  std::mt19937 random(1);
  std::vector<uint32_t> numbers = {0,   1,     2,     3,          5,          7,          255,
                                   256, 65535, 65536, 0x3fffffff, 0x40000000, 0x7ffffffe, 0x7fffffff};
  for (int i = 0; i < 200; ++i) numbers.push_back(random() >> (1 + random() % 31));
  for (const uint32_t d : numbers) {
    if (d == 0) continue;
    const Divider divider(d);
    for (const uint32_t n : numbers) {
      REQUIRE(divider.divide(n).quotient == n / d);
      REQUIRE(divider.divide(n).remainder == n % d);
    }
  }
}

TEST_CASE("a walk joins the dimensions that all operands allow") {
  const Shape shape = {4, 1, 5, 6};
  const Strides rows = contiguous_strides(shape);
  CHECK(make_walk<1>(shape, {rows}).dims == 1);
  CHECK(make_walk<1>(shape, {rows}).linear());
  CHECK(make_walk<1>(shape, {rows}).numel() == 120);
  const Strides bias = {0, 0, 0, 1};  // [6], broadcast
  CHECK(make_walk<2>(shape, {rows, bias}).dims == 2);
  CHECK_FALSE(make_walk<2>(shape, {rows, bias}).linear());
  const Strides nothing = {0, 0, 0, 0};
  const Walk<2> with_number = make_walk<2>(shape, {rows, nothing});
  CHECK(with_number.linear());
  CHECK(with_number.constant(1));
  CHECK_FALSE(with_number.constant(0));
  CHECK(make_walk<1>({}, {Strides{}}).linear());
  CHECK(make_walk<1>({}, {Strides{}}).numel() == 1);
}

TEST_CASE("a layout finds every element") {
  std::mt19937 random(2);
  for (int round = 0; round < 200; ++round) {
    Shape shape;
    Strides spaced, broadcast;
    for (int i = int(random() % 5); i > 0; --i) shape.push_back(1 + random() % 5);
    const Strides rows = contiguous_strides(shape);
    for (int i = 0; i < shape.dims(); ++i) {
      spaced.push_back(rows[i] * (1 + int64_t(random() % 3)));
      broadcast.push_back(random() % 2 ? rows[i] : 0);
    }
    const Walk<3> walk = make_walk<3>(shape, {rows, spaced, broadcast});
    REQUIRE(walk.numel() == shape.numel());
    const Layout<3> layout(walk);
    for (uint32_t i = 0; i < layout.count(); ++i) {
      const auto offsets = layout.offsets(i);
      REQUIRE(offsets.of[0] == naive_offset(shape, rows, i));
      REQUIRE(offsets.of[1] == naive_offset(shape, spaced, i));
      REQUIRE(offsets.of[2] == naive_offset(shape, broadcast, i));
    }
  }
}

TEST_CASE("a walk beyond 32 bits is cut into small ones that cover it once") {
  const int64_t rows = 3, columns = (int64_t(1) << 31) + 5;
  const Walk<2> walk = make_walk<2>({rows, columns}, {Strides{columns, 1}, Strides{1, 0}});
  REQUIRE_FALSE(walk.small());
  std::vector<std::pair<int64_t, int64_t>> parts;  // begin and end
  walk.for_each_small([&](const Walk<2>& part) {
    CHECK(part.small());
    parts.emplace_back(part.start[0], part.start[0] + part.numel());
    CHECK(part.start[0] / columns == part.start[1]);
  });
  std::sort(parts.begin(), parts.end());
  int64_t covered = 0;
  for (const auto& [begin, end] : parts) {
    CHECK(begin == covered);
    covered = end;
  }
  CHECK(covered == rows * columns);
}
