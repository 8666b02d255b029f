// CSV files: the text (RFC 4180 and what people write instead), and what the columns become.
#include "data/csv.h"

#include <cmath>
#include <cstdlib>

#include <doctest/doctest.h>

#include "temporary_folder.h"

using namespace rstorch;
using namespace rstorch::data;

namespace {

using Texts = std::vector<std::string>;
using Row = std::vector<float>;

const TemporaryFolder& folder() {
  static const TemporaryFolder folder;
  return folder;
}

std::string file(const std::string& text) { return folder().write("data.csv", text); }

CsvTable table(const std::string& text, const CsvFormat& format = {}) {
  return CsvTable(file(text), format, [](const std::string&) { return CsvTable::Role::automatic; });
}

// The dataset of a text; numbers as they are.
Csv csv(const std::string& text, Csv::Config config = {}) {
  config.path = file(text);
  return Csv(config);
}
Csv::Config plain(Csv::Config config = {}) {
  config.standardize = false;
  return config;
}

Row x(const Dataset& dataset, int64_t row) { return dataset.get(row).x.to_vector<float>(); }
int64_t label(const Dataset& dataset, int64_t row) { return dataset.get(row).y.item<int64_t>(); }

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
std::string error_of(const std::string& text, const Csv::Config& config = {}) {
  return data_error([&] { csv(text, config); });
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("csv: what is a number, and what only looks like one") {
  const CsvTable read = table("a,b\n1e-400,+-5\n-1e-400,+5\n");
  CHECK(read.columns()[0].values == std::vector<double>{0, 0});
  CHECK(read.columns()[1].categories == Texts{"+-5", "+5"});
  CHECK(contains(data_error([] { table("a\n1\n1e400\n"); }), "got `1e400`, wanted a finite number"));
}

TEST_CASE("csv: the wrong delimiter, and files that are no tables") {
  CHECK(contains(data_error([] { table("a;b;c\n1;2;3\n"); }), "write delimiter: \";\""));
  CHECK(contains(data_error([] { table("a\tb\n1\t2\n"); }), "write delimiter: \"\\t\""));
  CHECK(table("a\n1\n").rows() == 1);
  const std::string garbage = data_error([] { table(std::string(5000, 'x') + "\x01\n1\n"); });
  CHECK(contains(garbage, "has the control character 0x01"));
  CHECK(garbage.size() < 300);
}

TEST_CASE("csv: validation data is prepared as the training data was, whatever its own config leaves out") {
  Csv::Config config;
  config.standardize = false;
  config.encoding = Csv::Encoding::codes;
  const Csv train = csv("a,k,y\n1,u,0\n5,v,1\n", config);
  Csv val = csv("a,k,y\n3,v,1\n4,u,0\n");
  val.load_state(train.state());
  CHECK(x(val, 0) == Row{3, 1});
  CHECK(x(val, 1) == Row{4, 0});
}

TEST_CASE("csv: numbers with fractions are no classes") {
  const std::string error = error_of("a,y\n1,0.5\n2,1\n");
  CHECK(contains(error, "data.csv:2:2: the target y is 0.5, wanted classes"));
  CHECK(contains(error, "task: regression"));
  CHECK(csv("a,y\n1,0.5\n2,1\n", {.categorical = {"y"}}).spec().classes == 2);
}

TEST_CASE("csv text: numbers, quotes, line ends, byte order mark, blank lines") {
  const std::string rows[] = {
      "a,b\n1,x\n2,y\n",
      "a,b\r\n1,x\r\n2,y\r\n",
      "\xEF\xBB\xBF"
      "a,b\n1,x\n2,y",
      "\n\na,b\n\n1,x\n\r\n2,y\n\n",
      "\"a\",\"b\"\n\"1\",\"x\"\n\"2\",\"y\"\r\n",
      " a , b \n 1 ,\tx\n 2,y \n",
      "a,b\n+1,x\n2.0e0,y\r",
  };
  for (const std::string& text : rows) {
    CAPTURE(text);
    const CsvTable read = table(text);
    CHECK(read.rows() == 2);
    CHECK(read.names() == "a, b");
    CHECK(read.columns()[0].numeric);
    CHECK(read.columns()[0].values == std::vector<double>{1, 2});
    CHECK(!read.columns()[1].numeric);
    CHECK(read.columns()[1].categories == Texts{"x", "y"});
    CHECK(read.columns()[1].values == std::vector<double>{0, 1});
  }
}

TEST_CASE("csv text: delimiters, line breaks and quotes inside quotes") {
  const CsvTable read = table("name,text\n\"a,b\",\"say \"\"yes\"\"\"\n\"two\nlines\",\"\"\n", {.header = true});
  CHECK(read.columns()[0].categories == Texts{"a,b", "two\nlines"});
  CHECK(read.columns()[1].categories == Texts{"say \"yes\""});
  CHECK(std::isnan(read.columns()[1].values[1]));
  // Lines are counted inside quotes too.
  CHECK(
      contains(data_error([&] { table("a,b\n1,\"x\ny\"\n2\n"); }), "data.csv:4:1: got 1 cells, wanted 2 as in line 1"));
  const CsvTable semicolon = table("a;b\n1,5;2\n", {.delimiter = ';'});
  CHECK(semicolon.columns()[0].categories == Texts{"1,5"});
}

TEST_CASE("csv text: errors with line and column") {
  const auto error = [](const std::string& text) { return data_error([&] { table(text); }); };
  CHECK(contains(error(""), "there are no rows"));
  CHECK(contains(error("\n\n"), "there are no rows"));
  CHECK(contains(error("a,b\n"), "no rows below the header"));
  CHECK(contains(error("a,b\n1,2\n1,2,3\n"), "data.csv:3:2: got 3 cells, wanted 2 as in line 1"));
  CHECK(contains(error("a,b\n1,\"2\n3,4\n"), "data.csv:2:2: a quote is opened and never closed"));
  CHECK(contains(error("a,b\n1,\"2\"3\n"), "data.csv:2:2: text behind a closing quote"));
  CHECK(contains(error("a,b\n1,2\nx,3\n"), "data.csv:3:1: got `x`, wanted a finite number: column a holds numbers"));
  CHECK(contains(error("a,b\n1,2\n1,inf\n"), "data.csv:3:2: got `inf`"));
  CHECK(contains(error("a,b\n1,2\n1,1e999\n"), "data.csv:3:2: got `1e999`"));
  CHECK(contains(error("a,b\n1,2\n1,0x10\n"), "categorical: [b]"));
  CHECK(contains(error("a,b\n1,x\n1,caf\xE9\n"), "data.csv:3:2: `caf?` has the byte 0xE9, which is not UTF-8"));
  CHECK(contains(error(std::string("a,b\n1,x\0y\n", 10)), "data.csv:2:2: `x?y` has a NUL byte"));
  CHECK(contains(error("\xE9,b\n1,2\n"), "data.csv:1:1: the name `?` has the byte 0xE9"));
  CHECK(contains(error("a,b,a\n1,2,3\n"), "data.csv:1:3: columns 1 and 3 are both named `a`"));
  CHECK(contains(error("\xFF\xFE"
                       "a"),
                 "UTF-16"));
}

TEST_CASE("csv text: header found, given, or none") {
  CHECK(table("1,2\n3,4\n").rows() == 2);
  CHECK(table("1,2\n3,4\n").names() == "column0, column1");
  CHECK(table("1,2\n3,4\n", {.header = true}).names() == "1, 2");
  CHECK(table("a,b\nc,d\n", {.header = false}).rows() == 2);
  CHECK(table("junk\nmore,,junk\na,b\n1,2\n", {.skip_rows = 2}).names() == "a, b");
  CHECK(table("a,b\n1,2\n", {.column_names = {"u", "v"}}).names() == "u, v");
  CHECK(table("1,2\n", {.column_names = {"u", "v"}}).rows() == 1);
  CHECK(contains(data_error([&] { table("1,2\n", {.column_names = {"u"}}); }), "data.csv:1:1: got 2 cells, wanted 1"));
  CHECK(contains(data_error([&] { table("1,2\n", {.skip_rows = 5}); }), "there are no rows"));
}

TEST_CASE("csv: standardised by the mean and deviation of the training rows alone") {
  Csv data = csv("a,b,y\n1,5,n\n3,5,y\n100,5,n\n");
  const std::vector<int64_t> training = {0, 1};
  data.fit(training);
  CHECK(x(data, 0) == Row{-1, 0});
  CHECK(x(data, 1) == Row{1, 0});
  CHECK(x(data, 2) == Row{98, 0});  // a constant column becomes 0
  CHECK(label(data, 0) == 0);
  CHECK(label(data, 1) == 1);
  CHECK(data.spec().class_names == Texts{"n", "y"});
  CHECK(x(csv("a,y\n0.1,0\n0.1,1\n0.1,0\n"), 1) == Row{0});
  CHECK(x(csv("a,y\n1700000000,0\n1700000002,1\n"), 1) == Row{1});  // large numbers keep their differences
}

TEST_CASE("csv: iris against the numbers that scikit-learn reports") {
  const char* root = std::getenv("RSTORCH_SOURCE_DIR");
  const Csv iris({.path = std::string(root ? root : ".") + "/datasets/iris/iris.csv",
                  .classes = {"setosa", "versicolor", "virginica"},
                  .skip_rows = 1,
                  .column_names = {"sepal_length", "sepal_width", "petal_length", "petal_width", "species"}});
  CHECK(iris.size() == 150);
  CHECK(iris.spec().class_names[2] == "virginica");
  const double means[] = {5.843333, 3.057333, 3.758, 1.199333};
  const double deviations[] = {0.825301, 0.434411, 1.759404, 0.759693};
  const config::Value state = iris.state();
  for (size_t i = 0; i < 4; ++i) {
    CHECK(state.at("columns")[i].at("mean").as_double() == doctest::Approx(means[i]).epsilon(1e-6));
    CHECK(state.at("columns")[i].at("std").as_double() == doctest::Approx(deviations[i]).epsilon(1e-6));
  }
  CHECK(label(iris, 0) == 0);
  CHECK(label(iris, 149) == 2);
}

TEST_CASE("csv: categories as one-hot vectors in sorted order, or as codes") {
  const std::string text = "color,size,y\nred,1,0\nblue,2,1\nred,3,0\ngreen,4,1\n";
  const Csv one_hot = csv(text, plain());
  CHECK(one_hot.spec().x_shape == Shape{4});
  CHECK(x(one_hot, 0) == Row{0, 0, 1, 1});
  CHECK(x(one_hot, 1) == Row{1, 0, 0, 2});
  CHECK(x(one_hot, 3) == Row{0, 1, 0, 4});
  const Csv codes = csv(text, plain({.encoding = Csv::Encoding::codes}));
  CHECK(x(codes, 0) == Row{2, 1});
  CHECK(x(codes, 3) == Row{1, 4});
  const Csv forced = csv("zip,y\n10115,0\n20095,1\n", plain({.categorical = {"zip"}}));
  CHECK(x(forced, 1) == Row{0, 1});
  const Csv ignored = csv("id,a,y\n7,1,0\nx,2,1\n", plain({.ignore = {"id"}}));
  CHECK(x(ignored, 1) == Row{2});
}

TEST_CASE("csv: target by name or place, classes, regression, none") {
  const std::string text = "y,a\n10,1\n9,2\n10,3\n";
  const Csv classes = csv(text, plain({.target = "y"}));
  CHECK(classes.spec().class_names == Texts{"9", "10"});  // by value, not by text
  CHECK(label(classes, 0) == 1);
  CHECK(label(csv(text, {.target = 0}), 1) == 0);
  CHECK(label(csv(text, {.target = -2}), 1) == 0);

  const Csv ordered = csv("a,y\n1,low\n2,high\n", {.classes = {"low", "mid", "high"}});
  CHECK(ordered.spec().classes == 3);
  CHECK(label(ordered, 1) == 2);
  CHECK(csv("a,y\n1,0\n2,1\n", {.classes = {"no", "yes"}}).spec().class_names == Texts{"no", "yes"});
  CHECK(contains(error_of("a,y\n1,0\n2,2\n", {.classes = {"no", "yes"}}), "has the targets 0, 2, wanted those of"));

  const Csv regression = csv(text, plain({.target = "y", .task = Csv::Task::regression}));
  CHECK(regression.spec().text() == "[1] f32 -> [1] f32");
  CHECK(regression.get(1).y.to_vector<float>() == Row{9});

  const Csv unlabelled = csv("a,b\n1,2\n", plain({.target = {}}));
  CHECK(x(unlabelled, 0) == Row{1, 2});
  CHECK(unlabelled.get(0).y.shape() == Shape{0});

  CHECK(contains(error_of(text, {.target = "z"}), "there is no column z for the target / the columns are y, a"));
  CHECK(contains(error_of(text, {.target = 2}), "there is no column 2"));
  CHECK(contains(error_of("a,y\n1,b\n", {.task = Csv::Task::regression}), "column y holds text"));
  CHECK(contains(error_of(text, {.target = "y", .ignore = {"y"}}), "among the ignored"));
  CHECK(contains(error_of(text, {.ignore = {"q"}}), "ignore names column `q`"));
  CHECK(contains(error_of("y\n1\n"), "no column but the target"));
  std::string many = "a,y\n";
  for (int i = 0; i < 1500; ++i) many += format("1,{}\n", i);
  CHECK(contains(error_of(many), "1500 different targets"));
}

TEST_CASE("csv: missing cells are an error, the mean, or drop the row") {
  const std::string text = "a,c,y\n1,u,0\n,v,1\n3,NA,0\n5,u,1\n";
  CHECK(contains(error_of(text), "data.csv:3:1: no value for column a"));
  const Csv mean = csv(text, plain({.missing = Csv::Missing::mean}));
  CHECK(mean.size() == 4);
  CHECK(x(mean, 1) == Row{3, 0, 1});
  CHECK(x(mean, 2) == Row{3, 0, 0});
  CHECK(x(csv(text, {.missing = Csv::Missing::mean}), 1)[0] == 0);
  const Csv drop = csv(text, plain({.missing = Csv::Missing::drop}));
  CHECK(drop.size() == 2);
  CHECK(x(drop, 1) == Row{5, 1, 0});
  CHECK(label(drop, 1) == 1);
  CHECK(contains(error_of("a,y\n1,?\n2,0\n", {.missing = Csv::Missing::mean}), "data.csv:2:2: no value for column y"));
  CHECK(contains(error_of("a,y\n1,\n,0\n", {.missing = Csv::Missing::drop}), "every row has a missing cell"));
  for (const char* spelling : {"", "?", "NA", "N/A", "NaN", "nan", "null", "NULL"}) {
    CHECK(contains(error_of(format("a,y\n1,0\n{},1\n", spelling)), "no value for column a"));
  }
}

TEST_CASE("csv: another file is read with the state of the training data") {
  const Csv train = csv("a,c,y\n0,u,no\n2,v,yes\n4,w,no\n");
  const config::Value state = train.state();
  Csv other = csv("c,a,extra,y\nw,4,9,no\nu,2,9,no\n");  // other order, a column more, a class less
  other.load_state(state);
  CHECK(x(other, 0) == x(train, 2));
  CHECK(other.spec().text() == train.spec().text());
  CHECK(label(other, 0) == 0);
  CHECK(other.state() == state);

  Csv unlabelled = csv("a,c\n2,v\n", {.target = {}});
  unlabelled.load_state(state);
  CHECK(x(unlabelled, 0) == x(train, 1));
  CHECK(unlabelled.spec().class_names == Texts{"no", "yes"});
  CHECK(unlabelled.spec().classes == 2);
  CHECK(unlabelled.get(0).y.numel() == 0);

  const auto load = [&](const std::string& text) { return data_error([&] { csv(text).load_state(state); }); };
  CHECK(contains(load("a,c,y\n1,u,no\n1,q,no\n"), "data.csv:3:2: column c has the category `q`"));
  CHECK(contains(load("a,c,y\n1,u,no\n1,u,maybe\n"), "data.csv:3:3: class `maybe`, wanted one of no, yes"));
  CHECK(contains(load("a,y\n1,no\n"), "column c of the training data is not there"));
  CHECK(contains(load("a,c,y\n1,2,no\n"), "column c holds numbers, wanted text"));
}

TEST_CASE("csv: what validate finds in a config") {
  const auto errors = [](Csv::Config config) {
    config.path = "data.csv";
    config::Report report;
    config::read<Csv::Config>(config::write(config), report);
    return report.render();
  };
  CHECK(errors({}) == "");
  CHECK(contains(errors({.delimiter = ",,"}), "delimiter is not one character"));
  CHECK(contains(errors({.target = true}), "target is"));
  CHECK(contains(errors({.task = Csv::Task::regression, .classes = {"a"}}), "a regression has no classes"));
}
