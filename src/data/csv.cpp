#include "data/csv.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <unordered_map>

namespace rstorch::data {
namespace {

using config::Value;

constexpr size_t kManyClasses = 1000;

Value list_of(const std::vector<std::string>& texts) {
  Value out = Value::list();
  for (const std::string& text : texts) out.append(text);
  return out;
}

std::vector<std::string> texts_of(const Value& list) {
  std::vector<std::string> out;
  for (const Value& item : list.items()) out.push_back(item.as_string());
  return out;
}

std::optional<int64_t> place_of(const std::vector<std::string>& texts, std::string_view text) {
  const auto found = std::ranges::find(texts, text);
  if (found == texts.end()) return {};
  return found - texts.begin();
}

// Shortest text of a number, without a fraction if it has none: "2", "0.5".
std::string number_text(double value) { return format("{}", value); }

// True if the texts are integers that name places in a list of `count`.
bool are_places(const std::vector<std::string>& texts, size_t count) {
  return std::ranges::all_of(texts, [&](const std::string& text) {
    for (size_t i = 0; i < count; ++i) {
      if (text == std::to_string(i)) return true;
    }
    return false;
  });
}

}  // namespace

void Csv::Config::validate(const Value& at, config::Report& report) const {
  const auto part = [&](std::string_view key) -> const Value& { return at.has(key) ? at.at(key) : at; };
  if (delimiter.size() != 1 || delimiter == "\"" || delimiter == "\n") {
    report.error(config::Code::out_of_range, "delimiter is not one character")
        .at(part("delimiter"))
        .help("write \",\", \";\" or \"\\t\"");
  }
  if (!target.is_int() && !target.is_string() && !target.is_null() && !target.is_broken()) {
    report.error(config::Code::wrong_type, format("target is {}", target.kind_text()))
        .at(part("target"))
        .label("wanted a column's name or its place");
  }
  if (task == Task::regression && !classes.empty()) {
    report.error(config::Code::conflict, "a regression has no classes").at(part("classes")).help("leave out classes");
  }
}

Csv::Csv(Config config) : config_(std::move(config)), table_(read_table()), target_(find_target()) {
  check_names(config_.ignore, "ignore");
  check_names(config_.categorical, "categorical");
  handle_missing();
  for (size_t i = 0; i < table_.columns().size(); ++i) {
    const CsvColumn& column = table_.columns()[i];
    if (i == target_ || place_of(config_.ignore, column.name)) continue;
    Feature feature{.column = i, .categories = column.categories};
    std::ranges::sort(feature.categories);
    features_.push_back(std::move(feature));
  }
  if (features_.empty()) throw DataError(format("{}: no column but the target", config_.path), {}, 3);
  if (target_ && config_.task == Task::classification) target_texts_ = found_classes();
  lay_out();
  set_targets();
  std::vector<int64_t> all(static_cast<size_t>(size()));
  std::iota(all.begin(), all.end(), 0);
  fit(all);
}

CsvTable Csv::read_table() const {
  const CsvFormat form{.delimiter = config_.delimiter.at(0),
                       .skip_rows = config_.skip_rows,
                       .header = config_.header,
                       .column_names = config_.column_names};
  return CsvTable(config_.path, form, [this](const std::string& name) {
    if (place_of(config_.ignore, name)) return CsvTable::Role::ignored;
    return place_of(config_.categorical, name) ? CsvTable::Role::categories : CsvTable::Role::automatic;
  });
}

void Csv::check_names(const std::vector<std::string>& names, std::string_view field) const {
  for (const std::string& name : names) {
    if (table_.find(name)) continue;
    throw DataError(format("{}: {} names column `{}`, which is not there", config_.path, field, name),
                    format("the columns are {}", table_.names()), 3);
  }
}

std::optional<size_t> Csv::find_target() const {
  if (config_.target.is_null()) return {};
  const auto count = int64_t(table_.columns().size());
  std::optional<size_t> found;
  if (config_.target.is_string()) {
    found = table_.find(config_.target.as_string());
  } else {
    const int64_t place = config_.target.as_int() + (config_.target.as_int() < 0 ? count : 0);
    if (place >= 0 && place < count) found = size_t(place);
  }
  if (!found) {
    throw DataError(format("{}: there is no column {} for the target", config_.path, config_.target.text()),
                    format("the columns are {}; to predict for rows without a target: data.target=null", table_.names()),
                    3);
  }
  const CsvColumn& column = table_.columns()[*found];
  if (place_of(config_.ignore, column.name)) {
    throw DataError(format("{}: the target {} is among the ignored columns", config_.path, column.name), {}, 3);
  }
  if (config_.task == Task::regression && !column.numeric) {
    throw DataError(format("{}: column {} holds text, wanted numbers for a regression", config_.path, column.name),
                    "write task: classification, or choose another target", 3);
  }
  return found;
}

bool Csv::is_missing(size_t column, int64_t row) const {
  const std::vector<double>& values = table_.columns()[column].values;
  return !values.empty() && std::isnan(values[size_t(row)]);
}

// With missing: mean, a number has a mean, and a one-hot vector may be all zero. A code and a target need a value.
bool Csv::may_be_missing(size_t column) const {
  if (config_.missing != Missing::mean || column == target_) return false;
  return table_.columns()[column].numeric || config_.encoding == Encoding::one_hot;
}

void Csv::handle_missing() {
  const size_t width = table_.columns().size();
  if (config_.missing == Missing::drop) {
    table_.keep([&](int64_t row) {
      for (size_t column = 0; column < width; ++column) {
        if (is_missing(column, row)) return false;
      }
      return true;
    });
    if (table_.rows() == 0) throw DataError(format("{}: every row has a missing cell", config_.path), {}, 3);
  }
  for (size_t column = 0; column < width; ++column) {
    if (may_be_missing(column)) continue;
    for (int64_t row = 0; row < table_.rows(); ++row) {
      if (!is_missing(column, row)) continue;
      throw table_.error(row, column, format("no value for column {}", table_.columns()[column].name),
                         config_.missing == Missing::mean
                             ? "the mean stands for features only: write missing: drop to leave such rows out"
                             : "write missing: drop to leave such rows out, or missing: mean for the training mean");
    }
  }
}

// Sorted by value for numbers, by text else; or as the config orders them.
std::vector<std::string> Csv::found_classes() const {
  const CsvColumn& column = table_.columns()[*target_];
  std::vector<std::string> found = column.categories;
  if (column.numeric) {
    std::vector<double> values = column.values;
    const auto fraction = std::ranges::find_if(values, [](double value) { return value != std::floor(value); });
    if (fraction != values.end()) {
      throw table_.error(fraction - values.begin(), *target_,
                         format("the target {} is {}, wanted classes: text or whole numbers", column.name, *fraction),
                         format("to predict a number write task: regression; if these are names of classes, "
                                "categorical: [{}]",
                                column.name));
    }
    std::ranges::sort(values);
    values.erase(std::unique(values.begin(), values.end()), values.end());
    std::ranges::transform(values, std::back_inserter(found), number_text);
  } else {
    std::ranges::sort(found);
  }
  if (found.size() > kManyClasses && config_.classes.empty()) {
    throw DataError(format("{}: column {} has {} different targets, wanted at most {} classes", config_.path,
                           column.name, found.size(), kManyClasses),
                    "is it a number to predict? write task: regression", 3);
  }
  if (config_.classes.empty()) return found;
  if (std::ranges::all_of(found,
                          [&](const std::string& text) { return place_of(config_.classes, text).has_value(); })) {
    return config_.classes;
  }
  if (are_places(found, config_.classes.size())) {
    std::vector<std::string> places;
    for (size_t i = 0; i < config_.classes.size(); ++i) places.push_back(std::to_string(i));
    return places;
  }
  throw DataError(format("{}: column {} has the targets {}, wanted those of classes: {}", config_.path, column.name,
                         join(found, ", "), join(config_.classes, ", ")),
                  "list every class, or as many names as there are targets 0, 1, ...", 3);
}

// Places in x, and the map from the file's codes to the order of the categories.
void Csv::lay_out() {
  int64_t width = 0;
  for (Feature& feature : features_) {
    const CsvColumn& column = table_.columns()[feature.column];
    feature.place_of_code.clear();
    for (size_t code = 0; code < column.categories.size(); ++code) {
      const auto place = std::ranges::lower_bound(feature.categories, column.categories[code]);
      if (place == feature.categories.end() || *place != column.categories[code]) {
        const auto row = std::ranges::find(column.values, double(code)) - column.values.begin();
        throw table_.error(row, feature.column,
                           format("column {} has the category `{}`, which the training data had not", column.name,
                                  column.categories[code]));
      }
      feature.place_of_code.push_back(place - feature.categories.begin());
    }
    feature.offset = width;
    const bool one_hot = !column.numeric && config_.encoding == Encoding::one_hot;
    feature.width = one_hot ? int64_t(feature.categories.size()) : 1;
    width += feature.width;
  }
  spec_.x_shape = {width};
}

void Csv::set_targets() {
  const bool classification = target_ && config_.task == Task::classification;
  spec_.classes = classification ? int64_t(target_texts_.size()) : 0;
  const bool named = config_.classes.size() == target_texts_.size();
  spec_.class_names = named ? config_.classes : target_texts_;
  spec_.y_dtype = classification ? DType::i64 : DType::f32;
  spec_.y_shape = classification ? Shape() : Shape{target_ ? 1 : 0};
  y_ = empty_batch(spec_, size()).y;
  if (!target_) return;
  const CsvColumn& column = table_.columns()[*target_];
  if (!classification) {
    std::ranges::transform(column.values, y_.data<float>(), [](double value) { return float(value); });
    return;
  }
  std::unordered_map<double, int64_t> class_of;  // a number or a code
  for (int64_t row = 0; row < size(); ++row) {
    const double value = column.values[size_t(row)];
    const auto [entry, is_new] = class_of.try_emplace(value);
    if (is_new) {
      const std::string text = column.numeric ? number_text(value) : column.categories[size_t(value)];
      const std::optional<int64_t> place = place_of(target_texts_, text);
      if (!place) {
        throw table_.error(row, *target_, format("class `{}`, wanted one of {}", text, join(target_texts_, ", ")),
                           "for data without a target write target: null");
      }
      entry->second = *place;
    }
    y_.data<int64_t>()[row] = entry->second;
  }
}

void Csv::fit(std::span<const int64_t> training_rows) {
  for (Feature& feature : features_) {
    const CsvColumn& column = table_.columns()[feature.column];
    if (!column.numeric) continue;
    // Summed as distances from the first value, so that the mean of a constant column is that value exactly.
    double count = 0, first = 0, sum = 0, squares = 0;
    for (const int64_t row : training_rows) {
      if (is_missing(feature.column, row)) continue;
      const double value = column.values[size_t(row)];
      if (count == 0) first = value;
      sum += value - first;
      ++count;
    }
    feature.mean = count > 0 ? first + sum / count : 0;
    for (const int64_t row : training_rows) {
      if (is_missing(feature.column, row)) continue;
      squares += std::pow(column.values[size_t(row)] - feature.mean, 2);
    }
    const double deviation = count > 0 ? std::sqrt(squares / count) : 0;
    feature.std = deviation > 0 ? deviation : 1;  // a constant column becomes 0
  }
}

Value Csv::state() const {
  Value columns = Value::list();
  for (const Feature& feature : features_) {
    const CsvColumn& column = table_.columns()[feature.column];
    Value entry = Value::map({{"name", column.name}});
    if (column.numeric) {
      entry.set("mean", feature.mean);
      entry.set("std", feature.std);
    } else {
      entry.set("categories", list_of(feature.categories));
    }
    columns.append(std::move(entry));
  }
  return Value::map({{"columns", columns},
                     {"targets", list_of(target_texts_)},
                     {"class_names", list_of(spec_.class_names)},
                     {"standardize", config_.standardize},
                     {"encoding", config::write(config_.encoding)}});
}

void Csv::load_state(const Value& state) {
  // As the model was trained, whatever this config says or leaves out.
  if (const Value* standardize = state.find("standardize")) config_.standardize = standardize->as_bool();
  if (const Value* encoding = state.find("encoding"))
    config_.encoding = encoding->as_string() == "codes" ? Encoding::codes : Encoding::one_hot;
  std::vector<Feature> features;
  for (const Value& entry : state.at("columns").items()) {
    const std::string& name = entry.at("name").as_string();
    const std::optional<size_t> column = table_.find(name);
    if (!column || place_of(config_.ignore, name)) {
      throw DataError(format("{}: column {} of the training data is not there", config_.path, name),
                      format("the columns are {}", table_.names()), 3);
    }
    Feature feature{.column = *column};
    const bool numeric = !entry.has("categories");
    if (table_.columns()[*column].numeric != numeric) {
      throw DataError(format("{}: column {} holds {}, wanted {} as in the training data", config_.path, name,
                             numeric ? "text" : "numbers", numeric ? "numbers" : "text"),
                      {}, 3);
    }
    if (numeric) {
      feature.mean = entry.at("mean").as_double();
      feature.std = entry.at("std").as_double();
    } else {
      feature.categories = texts_of(entry.at("categories"));
    }
    features.push_back(std::move(feature));
  }
  features_ = std::move(features);
  target_texts_ = texts_of(state.at("targets"));
  lay_out();
  set_targets();
  // Without targets too: whoever predicts wants the names.
  spec_.classes = int64_t(target_texts_.size());
  spec_.class_names = texts_of(state.at("class_names"));
}

std::string Csv::describe() const { return format("csv {}: {} rows, {}", config_.path, size(), spec_.text()); }

Sample Csv::get(int64_t index, uint64_t epoch) const {
  const Sample one = empty_batch(spec_, 1);
  gather({&index, 1}, epoch, one);
  return row_of(one, 0);
}

void Csv::gather(std::span<const int64_t> indices, uint64_t, const Sample& out) const {
  float* x = out.x.data<float>();
  auto* const y = static_cast<std::byte*>(out.y.raw_data());
  const auto* const targets = static_cast<const std::byte*>(y_.raw_data());
  const size_t target_bytes = size_t(spec_.y_shape.numel()) * size_of(spec_.y_dtype);
  for (size_t k = 0; k < indices.size(); ++k, x += spec_.x_shape[0]) {
    write_features(indices[k], x);
    std::copy_n(targets + size_t(indices[k]) * target_bytes, target_bytes, y + k * target_bytes);
  }
}

void Csv::write_features(int64_t row, float* x) const {
  for (const Feature& feature : features_) {
    const CsvColumn& column = table_.columns()[feature.column];
    const double value = column.values[size_t(row)];
    float* const place = x + feature.offset;
    if (column.numeric) {
      const double filled = std::isnan(value) ? feature.mean : value;
      *place = float(config_.standardize ? (filled - feature.mean) / feature.std : filled);
    } else if (config_.encoding == Encoding::codes) {
      *place = float(feature.place_of_code[size_t(value)]);
    } else {
      std::fill_n(place, feature.width, 0.0f);
      if (!std::isnan(value)) place[feature.place_of_code[size_t(value)]] = 1;
    }
  }
}

}  // namespace rstorch::data
