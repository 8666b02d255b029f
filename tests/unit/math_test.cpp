// kernels/math.h and kernels/philox.h: accuracy against the standard library in double, and published vectors.
#include "kernels/math.h"

#include <atomic>
#include <cmath>
#include <new>
#include <vector>

#include <doctest/doctest.h>

#include "kernels/cpu/parallel.h"
#include "kernels/cpu/random_words.h"
#include "kernels/cpu/simd.h"
#include "kernels/philox.h"

using namespace rstorch;

namespace {

// The largest error in units of the last place over floats of all sizes and signs; infinite where one is nan, infinite
// or of the other sign and the other is not. `f` runs in the widest vectors, as in the kernels.
template <class F>
double worst_error(F f, double (*exact)(double)) {
  constexpr int64_t count = 1 << 20;
  constexpr uint32_t step = 4093;  // a prime: all exponents and all low bits
  std::vector<float> x(count), y(count);
  for (int64_t i = 0; i < count; ++i) x[size_t(i)] = std::bit_cast<float>(uint32_t(i) * step);
  kernels::vectorised([from = x.data(), to = y.data(), f] {
    for (int64_t i = 0; i < count; ++i) to[i] = f(from[i]);
  });
  double worst = 0;
  for (size_t i = 0; i < y.size(); ++i) {
    const double wanted = exact(double(x[i]));
    const float rounded = float(wanted);
    if (y[i] == rounded || (std::isnan(y[i]) && std::isnan(rounded))) continue;
    if (!std::isfinite(y[i]) || !std::isfinite(rounded)) return INFINITY;
    int exponent = 0;
    std::frexp(rounded, &exponent);
    worst = std::max(worst, std::abs(double(y[i]) - wanted) / std::ldexp(1.0, std::max(exponent - 24, -149)));
  }
  return worst;
}

}  // namespace

TEST_CASE("float functions are right to about two units in the last place") {
  CHECK_LT(worst_error([](float x) { return math::exp(x); }, std::exp), 1.0);
  CHECK_LT(worst_error([](float x) { return math::log(x); }, std::log), 1.0);
  CHECK_LT(worst_error([](float x) { return math::tanh(x); }, std::tanh), 2.5);
  CHECK_LT(worst_error([](float x) { return math::erf(x); }, std::erf), 1.5);
  CHECK_LT(worst_error([](float x) { return math::sigmoid(x); }, [](double x) { return 1 / (1 + std::exp(-x)); }), 2.5);
  const auto softplus = [](double x) { return std::fmax(x, 0) + std::log1p(std::exp(-std::fabs(x))); };
  CHECK_LT(worst_error([](float x) { return math::softplus(x); }, softplus), 2.5);
}

TEST_CASE("float functions at the edges") {
  constexpr float inf = std::numeric_limits<float>::infinity(), tiny = std::numeric_limits<float>::denorm_min();
  CHECK_EQ(math::exp(inf), inf);
  CHECK_EQ(math::exp(-inf), 0);
  CHECK_EQ(math::exp(0.0f), 1);
  CHECK_EQ(math::exp(-103.0f), tiny);
  CHECK(std::isnan(math::exp(NAN)));
  CHECK_EQ(math::log(inf), inf);
  CHECK_EQ(math::log(0.0f), -inf);
  CHECK_EQ(math::log(1.0f), 0);
  CHECK_EQ(math::log(tiny), doctest::Approx(-103.2789f));
  CHECK(std::isnan(math::log(-1.0f)));
  CHECK_EQ(math::tanh(inf), 1);
  CHECK_EQ(math::tanh(-inf), -1);
  CHECK(std::signbit(math::tanh(-0.0f)));
  CHECK_EQ(math::tanh(tiny), tiny);
  CHECK(std::isnan(math::tanh(NAN)));
  CHECK_EQ(math::erf(inf), 1);
  CHECK_EQ(math::erf(-inf), -1);
  CHECK(std::isnan(math::erf(NAN)));
  CHECK_EQ(math::sigmoid(-inf), 0);
  CHECK_EQ(math::sigmoid(inf), 1);
  CHECK_EQ(math::softplus(inf), inf);
  CHECK_EQ(math::softplus(-inf), 0);
  CHECK(std::isnan(math::softplus(NAN)));
}

TEST_CASE("integer powers and saturation") {
  CHECK_EQ(math::pow(int64_t(3), int64_t(4)), 81);
  CHECK_EQ(math::pow(int64_t(-2), int64_t(3)), -8);
  CHECK_EQ(math::pow(int64_t(5), int64_t(0)), 1);
  CHECK_EQ(math::pow(int64_t(2), int64_t(-1)), 0);
  CHECK_EQ(math::pow(int32_t(-1), int32_t(-3)), -1);
  CHECK_EQ(math::pow(uint8_t(2), uint8_t(8)), 0);
  CHECK_EQ(math::saturate<uint8_t>(300), 255);
  CHECK_EQ(math::saturate<uint8_t>(-1), 0);
  CHECK_EQ(math::saturate<int32_t>(-INFINITY), std::numeric_limits<int32_t>::lowest());
}

// The known-answer vectors of Random123 (kat_vectors, philox4x32 10).
TEST_CASE("Philox gives the published numbers") {
  const auto check = [](const kernels::PhiloxBlock& block, uint32_t a, uint32_t b, uint32_t c, uint32_t d) {
    CHECK_EQ(block.words[0], a);
    CHECK_EQ(block.words[1], b);
    CHECK_EQ(block.words[2], c);
    CHECK_EQ(block.words[3], d);
  };
  check(kernels::philox4x32(0, 0, 0, 0, 0, 0), 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8);
  check(kernels::philox4x32(~0u, ~0u, ~0u, ~0u, ~0u, ~0u), 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd);
  check(kernels::philox4x32(0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0), 0xd16cfe09,
        0x94fdcceb, 0x5001e420, 0x24126ea1);
}

TEST_CASE("words come in vectors as the cipher gives them one by one") {
  const kernels::Philox philox({.seed = 5, .step = (uint64_t(1) << 40) + 3});
  for (const uint64_t first : {uint64_t(0), uint64_t(7), (uint64_t(1) << 32) - 5}) {
    uint32_t words[kernels::kWordsPerCall];
    kernels::random_words(philox, first, words);
    for (int i = 0; i < kernels::kWordsPerCall; ++i)
      CHECK_EQ(words[i], philox.block(first + uint64_t(i / 4)).words[i % 4]);
  }
}

TEST_CASE("streams differ in every part of their key") {
  const RandomKey key{.seed = 1, .purpose = Purpose::dropout, .layer = 2, .step = 3};
  const auto first_word = [](const RandomKey& k) { return kernels::Philox(k).block(0).words[0]; };
  RandomKey other = key;
  other.seed = 2;
  CHECK_NE(first_word(key), first_word(other));
  other = key;
  other.purpose = Purpose::init;
  CHECK_NE(first_word(key), first_word(other));
  other = key;
  other.layer = 3;
  CHECK_NE(first_word(key), first_word(other));
  other = key;
  other.step = 4;
  CHECK_NE(first_word(key), first_word(other));
  const StepPlace place = {.step = 3, .first_sample = 7};
  other = key;
  other.step = 0;
  other.place = &place;
  other.sample_size = 5;
  CHECK_EQ(first_word(key), first_word(other));
  CHECK_EQ(kernels::first_of(other), 35);
}

TEST_CASE("an exception in one piece of a loop is the caller's") {
  omp_set_num_threads(2);
  std::atomic<int> others = 0;
  const auto fails = [&](int64_t begin, int64_t end) {
    if (end == 2) throw std::bad_alloc();
    others += int(end - begin);
  };
  CHECK_THROWS_AS(kernels::parallel_tasks(2, kernels::kGrain, fails), std::bad_alloc);
  CHECK(others == 1);
}
