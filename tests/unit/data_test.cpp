// Datasets in files: IDX, gzip, MNIST folders, random; and the `data:` section of a config.
#include "data/data.h"

#include <cmath>
#include <cstdlib>

#include <doctest/doctest.h>
#include <libdeflate.h>

#include "config/load.h"
#include "data/csv.h"
#include "data/file.h"
#include "data/idx.h"
#include "data/mnist.h"
#include "data/random.h"
#include "temporary_folder.h"

using namespace rstorch;
using namespace rstorch::data;
using namespace std::string_literals;

namespace {

std::string source(const std::string& path) {
  const char* root = std::getenv("RSTORCH_SOURCE_DIR");
  return (std::filesystem::path(root ? root : ".") / path).string();
}

std::string read_all(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::string bytes_of(const Tensor& x) {
  const Tensor packed = x;
  return {reinterpret_cast<const char*>(packed.data<uint8_t>()), packed.bytes()};
}

std::string big_endian(uint32_t x) { return {char(x >> 24), char(x >> 16), char(x >> 8), char(x)}; }

std::string idx(const std::vector<uint32_t>& sizes, const std::string& values) {
  std::string out = big_endian(0x0800u | uint32_t(sizes.size()));
  for (const uint32_t size : sizes) out += big_endian(size);
  return out + values;
}

std::string gzip(const std::string& text) {
  libdeflate_compressor* const compressor = libdeflate_alloc_compressor(6);
  std::string out(libdeflate_gzip_compress_bound(compressor, text.size()), 0);
  out.resize(libdeflate_gzip_compress(compressor, text.data(), text.size(), out.data(), out.size()));
  libdeflate_free_compressor(compressor);
  return out;
}

// The message of the DataError that f throws, with its exit code checked; empty when it throws none.
template <class F>
std::string data_error(F f) {
  try {
    f();
  } catch (const DataError& error) {
    CHECK(error.exit_code() == ExitCode::data);
    return std::string(error.what()) + " / " + error.hint();
  }
  return "";
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

// Two 2x3 images, labels 3 and 1.
const std::string kImages = idx({2, 2, 3}, std::string("\x00\x33\x66\x99\xcc\xff\x01\x02\x03\x04\x05\x06", 12));
const std::string kLabels = idx({2}, "\x03\x01");

void write_mnist(const TemporaryFolder& folder, const std::string& images, const std::string& labels) {
  folder.write("train-images-idx3-ubyte", images);
  folder.write("train-labels-idx1-ubyte", labels);
}

config::Value parse(const std::string& yaml) {
  config::Report report;
  const config::Value value = config::parse(yaml, "test.yaml", report);
  REQUIRE_MESSAGE(report.ok(), report.render());
  return value;
}

DataRecipe recipe_of(const std::string& yaml) {
  config::Report report;
  const DataRecipe recipe = DataRecipe::read(parse(yaml), report);
  REQUIRE_MESSAGE(report.ok(), report.render());
  return recipe;
}

std::string config_error(const std::string& yaml) {
  config::Report report;
  DataRecipe::read(parse(yaml), report);
  return report.render();
}

}  // namespace

TEST_CASE("idx: plain and gzip give the same array") {
  const TemporaryFolder folder;
  for (const std::string& bytes : {kImages, gzip(kImages)}) {
    const Tensor images = read_idx(folder.write("images", bytes), 3);
    CHECK(images.shape() == Shape{2, 2, 3});
    CHECK(images.dtype() == DType::u8);
    CHECK(bytes_of(images) == kImages.substr(16));
  }
}

TEST_CASE("idx: a file cut anywhere in its header or its data is an error") {
  const TemporaryFolder folder;
  for (size_t length = 0; length < kImages.size(); ++length) {
    CAPTURE(length);
    const std::string path = folder.write("images", kImages.substr(0, length));
    const std::string message = data_error([&] { read_idx(path, 3); });
    CHECK(contains(message, path + ": offset "));
    CHECK(contains(message, length < 16 ? "wanted an IDX header of 16 bytes" : "wanted 12, for the shape [2, 2, 3]"));
  }
  const std::string longer = folder.write("images", kImages + "x");
  CHECK(contains(data_error([&] { read_idx(longer, 3); }), "offset 16: got 13 bytes, wanted 12"));
}

TEST_CASE("idx: wrong magic numbers") {
  const TemporaryFolder folder;
  for (size_t byte = 0; byte < 4; ++byte) {
    std::string damaged = kImages;
    damaged[byte] = char(damaged[byte] ^ 0x40);
    const std::string path = folder.write("images", damaged);
    CHECK(contains(data_error([&] { read_idx(path, 3); }), "offset 0: got magic number"));
  }
  const std::string swapped = folder.write("images", idx({12}, std::string(12, 0)));
  const std::string message = data_error([&] { read_idx(swapped, 3); });
  CHECK(contains(message, "got magic number 2049 (labels), wanted 2051 (images)"));
  CHECK(contains(message, "swapped"));
}

TEST_CASE("idx: sizes that overflow are an error, not an allocation") {
  const TemporaryFolder folder;
  const std::string path = folder.write("images", idx({0xffffffffu, 0xffffffffu, 0xffffffffu}, ""));
  CHECK(contains(data_error([&] { read_idx(path, 3); }), "wanted sizes whose product"));
}

TEST_CASE("gzip: every single flipped bit is noticed, or harmless") {
  const TemporaryFolder folder;
  const std::string good = read_all(source("datasets/digits/t10k-labels-idx1-ubyte.gz"));
  REQUIRE(good.size() > 100);
  const std::string content = bytes_of(read_bytes(folder.write("good", good)));
  size_t noticed = 0;
  for (size_t bit = 16; bit < 8 * good.size(); ++bit) {  // without the two bytes that say that it is gzip
    std::string damaged = good;
    damaged[bit / 8] = char(damaged[bit / 8] ^ (1 << bit % 8));
    const std::string path = folder.write("damaged", damaged);
    std::string read;
    const std::string message = data_error([&] { read = bytes_of(read_bytes(path)); });
    noticed += message.empty() ? 0 : 1;
    if (message.empty()) CHECK(read == content);
  }
  CHECK(noticed > 8 * (good.size() - 40));  // all but those of the name and time in the header
}

TEST_CASE("gzip: cut anywhere is an error; several members are one text") {
  const TemporaryFolder folder;
  const std::string whole = gzip(kImages);
  for (size_t length = 2; length < whole.size(); ++length) {
    const std::string path = folder.write("cut", whole.substr(0, length));
    CHECK(contains(data_error([&] { read_bytes(path); }), path));
  }
  const std::string many = gzip(std::string(100000, 'a')) + gzip("b") + gzip("");
  CHECK(bytes_of(read_bytes(folder.write("many", many))) == std::string(100000, 'a') + "b");
  const std::string trailing = folder.write("trailing", gzip("a") + "garbage");
  CHECK(contains(data_error([&] { read_bytes(trailing); }), "damaged or cut gzip data"));
}

TEST_CASE("files that are not there, or no files") {
  const TemporaryFolder folder;
  CHECK(contains(data_error([&] { read_bytes(folder.path() / "none"); }), "No such file"));
  CHECK(contains(data_error([&] { read_bytes(folder.path()); }), "it is a folder, wanted a file"));
  CHECK(read_bytes(folder.write("empty", "")).numel() == 0);
}

TEST_CASE("mnist: pixels over the largest value, labels as classes") {
  const TemporaryFolder folder;
  write_mnist(folder, kImages, kLabels);
  const MNIST mnist({.path = folder.path()});
  CHECK(mnist.size() == 2);
  CHECK(mnist.spec().text() == "[1, 2, 3] f32 -> 10 classes");
  const Sample first = mnist.get(0);
  CHECK(first.x.shape() == Shape{1, 2, 3});
  // ToTensor's numbers: the f32 quotient by 255
  const std::vector<float> wanted = {0, 51.0f / 255, 102.0f / 255, 153.0f / 255, 204.0f / 255, 1};
  CHECK(first.x.to_vector<float>() == wanted);
  CHECK(first.y.shape() == Shape{});
  CHECK(first.y.item<int64_t>() == 3);
  CHECK(mnist.get(1).y.item<int64_t>() == 1);
}

TEST_CASE("mnist: max_value is learnt, kept in the state, or given") {
  const TemporaryFolder folder;
  write_mnist(folder, idx({1, 1, 2}, "\x08\x10"), idx({1}, "\x02"));
  const auto values = [](const MNIST& mnist) { return mnist.get(0).x.to_vector<float>(); };
  MNIST learnt({.path = folder.path()});
  CHECK(values(learnt) == std::vector<float>{0.5f, 1});
  learnt.load_state(config::Value::map({{"max_value", 32}}));
  CHECK(values(learnt) == std::vector<float>{0.25f, 0.5f});
  MNIST given({.path = folder.path(), .max_value = 64});
  given.load_state(config::Value::map({{"max_value", 32}}));
  CHECK(values(given) == std::vector<float>{0.125f, 0.25f});
}

TEST_CASE("mnist: what can be wrong with a folder") {
  const TemporaryFolder folder;
  const auto error = [&] { return data_error([&] { MNIST({.path = folder.path()}); }); };
  const std::string none = error();
  CHECK(contains(none, folder.path().string() + ": a data file is missing; looked for train-images-idx3-ubyte and"));
  CHECK(contains(none, "scripts/fetch_dataset.sh mnist"));
  CHECK(contains(data_error([&] { MNIST({.path = "no/such"}); }), "no/such: there is no such folder"));

  write_mnist(folder, kImages, idx({3}, "abc"));
  CHECK(contains(error(), "train-labels-idx1-ubyte: offset 4: got 3 labels, wanted 2"));
  write_mnist(folder, kImages, idx({2}, "\x03\x0a"));
  CHECK(contains(error(), "train-labels-idx1-ubyte: offset 9: got label 10 for sample 1, wanted 0 to 9"));
  write_mnist(folder, idx({20}, std::string(20, 0)), kImages);
  CHECK(contains(error(), "swapped"));
}

TEST_CASE("the bundled digits") {
  const MNIST train({.path = source("datasets/digits")});
  const MNIST test({.path = source("datasets/digits"), .split = MNIST::Split::test});
  CHECK(train.size() == 1437);
  CHECK(test.size() == 360);
  CHECK(train.spec().x_shape == Shape{1, 8, 8});
  CHECK(train.state() == config::Value::map({{"max_value", 16}}));
  std::vector<int> count(10);
  for (int64_t i = 0; i < test.size(); ++i) ++count[test.get(i).y.item<size_t>()];
  for (const int n : count) CHECK(n > 20);
}

TEST_CASE("MNIST itself") {
  const char* root = std::getenv("RSTORCH_DATA");
  if (!root) {
    MESSAGE("skipped: set RSTORCH_DATA to a folder with mnist/");
    return;
  }
  const MNIST train({.path = std::string(root) + "/mnist"});
  CHECK(train.size() == 60000);
  CHECK(train.spec().x_shape == Shape{1, 28, 28});
  CHECK(train.state() == config::Value::map({{"max_value", 255}}));
  // The mean and deviation that every MNIST tutorial normalises by.
  double sum = 0, squares = 0, count = 0;
  for (int64_t i = 0; i < train.size(); i += 10) {
    for (const float pixel : train.get(i).x.to_vector<float>()) {
      sum += double(pixel);
      squares += double(pixel) * double(pixel);
      ++count;
    }
  }
  CHECK(sum / count == doctest::Approx(0.1307).epsilon(0.01));
  CHECK(std::sqrt(squares / count - std::pow(sum / count, 2)) == doctest::Approx(0.3081).epsilon(0.01));
  CHECK(train.get(0).y.item<int64_t>() == 5);
  CHECK(train.get(59999).y.item<int64_t>() == 8);
}

TEST_CASE("random: samples depend on seed and index only, and can be learnt") {
  const Random a({.shape = {3, 5}, .classes = 4, .size = 1000});
  const Random b({.shape = {3, 5}, .classes = 4, .size = 10});
  const Random other({.shape = {3, 5}, .classes = 4, .seed = 1});
  const auto x = [](const Dataset& dataset, int64_t i) { return dataset.get(i).x.to_vector<float>(); };
  CHECK(x(a, 7) == x(b, 7));
  CHECK(x(a, 7) != x(a, 8));
  CHECK(x(a, 7) != x(other, 7));
  std::vector<int> count(4);
  double sum = 0, squares = 0;
  for (int64_t i = 0; i < a.size(); ++i) {
    ++count[a.get(i).y.item<size_t>()];
    for (const float value : x(a, i)) {
      sum += double(value);
      squares += double(value) * double(value);
    }
  }
  CHECK(std::abs(sum / 15000) < 0.03);
  CHECK(squares / 15000 == doctest::Approx(1).epsilon(0.05));
  for (const int n : count) CHECK(n > 50);

  // y is linear in x: y(x0) is found again from the sample, and noise is not.
  const Random linear({.shape = {1}, .target_shape = {2}});
  const Random noise({.shape = {1}, .target_shape = {2}, .learnable = false});
  const auto slope = [](const Dataset& dataset, int64_t i) {
    const Sample sample = dataset.get(i);
    return sample.y.to_vector<float>()[1] / sample.x.item<float>();
  };
  CHECK(slope(linear, 3) == doctest::Approx(slope(linear, 4)));
  CHECK(slope(noise, 3) != doctest::Approx(slope(noise, 4)));
}

TEST_CASE("data section: short form holds out what the kind itself holds out") {
  const DataRecipe recipe = recipe_of("{type: mnist, path: " + source("datasets/digits") + ", batch_size: 64}");
  CHECK(recipe.has_val());
  const OpenedData data = recipe.open(1);
  CHECK(data.train->size() == 1437);
  REQUIRE(data.val);
  CHECK(data.val->size() == 360);
  CHECK(recipe.open_val(1, data.state)->size() == 360);
  CHECK(recipe.train_options(7).shuffle);
  CHECK(recipe.train_options(7).seed == 7);
  CHECK(!recipe.val_options().shuffle);
}

TEST_CASE("data section: a fraction held out; the state is learnt from the rest") {
  const std::string yaml =
      "{type: csv, path: " + source("datasets/iris/iris.csv") +
      ", skip_rows: 1, classes: [setosa, versicolor, virginica], batch_size: 16, val_fraction: 0.2}";
  const DataRecipe recipe = recipe_of(yaml);
  const OpenedData data = recipe.open(3);
  CHECK(data.train->size() == 120);
  CHECK(data.val->size() == 30);
  CHECK(data.train->spec().text() == "[4] f32 -> 3 classes");
  CHECK(data.train->spec().class_names == std::vector<std::string>{"setosa", "versicolor", "virginica"});
  double sum = 0;
  for (int64_t i = 0; i < data.train->size(); ++i) sum += double(data.train->get(i).x.to_vector<float>()[2]);
  CHECK(std::abs(sum) < 1e-4);  // mean 0 over the training rows, and over those only
  // Evaluating with the kept state gives the same numbers.
  const DatasetPtr again = recipe.open_val(3, data.state);
  for (int64_t i = 0; i < 30; ++i) CHECK(again->get(i).x.to_vector<float>() == data.val->get(i).x.to_vector<float>());
}

TEST_CASE("data section: the state of another kind is refused") {
  const std::string folder = source("datasets/digits");
  const config::Value state = recipe_of("{type: mnist, path: " + folder + ", batch_size: 64}").open(0).state;
  const DataRecipe random = recipe_of("{type: random, shape: [3], classes: 2, batch_size: 4}");
  CHECK(contains(data_error([&] { random.open(0, state); }), "this data is `random`, the training data was `mnist`"));
}

TEST_CASE("data section: long form, transforms, and the resolved form reads back") {
  const std::string folder = source("datasets/digits");
  const std::string yaml = "{batch_size: 8, drop_last: true, train: {mnist: {path: " + folder +
                           "}}, val: {type: mnist, path: " + folder +
                           ", split: test}, transforms: {train: [{Normalize: {mean: [0.5], std: [0.25]}}]}}";
  const DataRecipe recipe = recipe_of(yaml);
  const OpenedData data = recipe.open(0);
  const MNIST plain({.path = folder});
  CHECK(data.train->get(5).x.to_vector<float>()[10] == (plain.get(5).x.to_vector<float>()[10] - 0.5f) / 0.25f);
  CHECK(data.val->get(5).x.to_vector<float>()[0] >= 0);

  for (const std::string& text : {yaml, "{type: random, shape: [3], classes: 2, batch_size: 4, val_fraction: 0.5}"s}) {
    const DataRecipe given = recipe_of(text);
    config::Report report;
    const DataRecipe again = DataRecipe::read(given.resolved(), report);
    CHECK_MESSAGE(report.ok(), report.render());
    CHECK(again.resolved() == given.resolved());
  }
}

TEST_CASE("data section: errors") {
  CHECK(contains(config_error("{batch_size: 4}"), "no training data"));
  CHECK(contains(config_error("{type: mnist, path: a}"), "batch_size"));
  CHECK(contains(config_error("{type: mnist, path: a, batchsize: 4, batch_size: 4}"), "did you mean `batch_size`"));
  CHECK(contains(config_error("{type: mnst, path: a, batch_size: 4}"), "did you mean `mnist`"));
  CHECK(contains(config_error("{type: random, shape: [3], batch_size: 4}"), "what is the target"));
  CHECK(contains(config_error("{type: mnist, path: a, batch_size: 4, val_fraction: 0.1, val: {mnist: {path: b}}}"),
                 "both name the validation data"));
  CHECK(contains(config_error("{type: mnist, path: a, batch_size: 4, train: {mnist: {path: b}}}"), "both name"));
  CHECK(contains(config_error("{batch_size: 4, train: {mnist: {path: b}}, shuffel: true}"), "did you mean `shuffle`"));
  CHECK(contains(config_error("{type: mnist, path: a, batch_size: 0}"), "batch_size"));
  CHECK(contains(config_error("{type: mnist, path: a, batch_size: 4, transforms: {train: [Normalise]}}"), "Normalize"));
  const std::string two = config_error(
      "{type: mnist, path: a, batch_size: 4, transforms: {val: [{Normalize: {mean: "
      "[1, 2], std: [1, 2, 3]}}, {Normalize: {mean: [0], std: [0]}}]}}");
  CHECK(contains(two, "2 values of mean, 3 of std"));
  CHECK(contains(two, "> 0"));
}

TEST_CASE("data section: training and validation samples must be alike") {
  const DataRecipe recipe =
      recipe_of("{batch_size: 4, train: {random: {shape: [3], classes: 2}}, val: {random: {shape: [4], classes: 2}}}");
  CHECK(contains(data_error([&] { recipe.open(0); }), "[3] f32 -> 2 classes against [4] f32 -> 2 classes"));
}
