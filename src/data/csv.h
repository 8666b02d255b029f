// Tables in CSV files. A row is a sample: x is f32 [features], y a class or f32 [1].
//
// Numeric columns are standardised, columns of text become one-hot or codes. What that needs (means, deviations,
// categories, classes) is learnt from the training rows and is the dataset's state(), so that validation rows, other
// files and a checkpoint's evaluation see the same numbers.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "config/fields.h"
#include "data/csv_table.h"
#include "data/dataset.h"

namespace rstorch::data {

class Csv final : public Dataset {
 public:
  enum class Task { classification, regression };
  friend constexpr auto names_of(Task) {
    return config::names<Task>({{Task::classification, "classification"}, {Task::regression, "regression"}});
  }
  enum class Encoding { one_hot, codes };
  friend constexpr auto names_of(Encoding) {
    return config::names<Encoding>({{Encoding::one_hot, "one_hot"}, {Encoding::codes, "codes"}});
  }
  enum class Missing { error, mean, drop };
  friend constexpr auto names_of(Missing) {
    return config::names<Missing>({{Missing::error, "error"}, {Missing::mean, "mean"}, {Missing::drop, "drop"}});
  }

  struct Config {
    std::string path = {};
    config::Value target = int64_t(-1);
    Task task = Task::classification;
    std::vector<std::string> classes = {};
    std::vector<std::string> ignore = {};
    std::vector<std::string> categorical = {};
    Encoding encoding = Encoding::one_hot;
    bool standardize = true;
    Missing missing = Missing::error;
    std::string delimiter = ",";
    std::optional<bool> header = {};
    int64_t skip_rows = 0;
    std::vector<std::string> column_names = {};
    static void describe(auto& field) {
      field("path", &Config::path, "The file, plain or .gz.", config::required, config::non_empty);
      field("target", &Config::target,
            "Column to predict: its name, or its place from 0 (negative: from the end). null: there is none.");
      field("task", &Config::task, "classification: the target names a class. regression: it is a number.");
      field("classes", &Config::classes,
            "Classes in order; or names for the targets 0, 1, ... Left out: the targets found, sorted.");
      field("ignore", &Config::ignore, "Columns that are left out.");
      field("categorical", &Config::categorical, "Columns whose numbers are names of categories.");
      field("encoding", &Config::encoding, "Categories as one_hot vectors or as codes 0, 1, ...");
      field("standardize", &Config::standardize, "Numeric columns to mean 0 and deviation 1 over the training rows.");
      field(
          "missing", &Config::missing,
          "Cells that are empty, NA, NaN, null or ?: an error; the training mean (no category, for text); or drop the "
          "row.");
      field("delimiter", &Config::delimiter, "Character between cells.");
      field("header", &Config::header,
            "Whether the first row holds names. Left out: it does if no cell of it is a number.");
      field("skip_rows", &Config::skip_rows, "Lines before the header that are not read.", config::non_negative);
      field("column_names", &Config::column_names, "Names of all columns, in place of the header's.");
    }
    void validate(const config::Value& at, config::Report& report) const;
  };
  // Learns from all rows; fit() learns anew.
  explicit Csv(Config config);

  int64_t size() const override { return table_.rows(); }
  const SampleSpec& spec() const override { return spec_; }
  std::string describe() const override;
  Sample get(int64_t index, uint64_t epoch = 0) const override;
  void gather(std::span<const int64_t> indices, uint64_t epoch, const Sample& out) const override;
  void fit(std::span<const int64_t> training_rows) override;
  config::Value state() const override;
  // Columns are found by name. Throws DataError for a column or a category that the training data had not.
  void load_state(const config::Value& state) override;

 private:
  // One column of the file and its place in x.
  struct Feature {
    size_t column = 0;
    double mean = 0;
    double std = 1;
    std::vector<std::string> categories = {};  // none for a numeric column
    std::vector<int64_t> place_of_code = {};   // of the file's codes among `categories`
    int64_t offset = 0;
    int64_t width = 1;
  };

  CsvTable read_table() const;
  std::optional<size_t> find_target() const;
  void check_names(const std::vector<std::string>& names, std::string_view field) const;
  bool is_missing(size_t column, int64_t row) const;
  bool may_be_missing(size_t column) const;
  void handle_missing();
  void lay_out();
  void set_targets();
  std::vector<std::string> found_classes() const;
  void write_features(int64_t row, float* x) const;

  Config config_;
  CsvTable table_;
  std::optional<size_t> target_;
  std::vector<Feature> features_;
  std::vector<std::string> target_texts_;  // the text in the file of each class
  SampleSpec spec_;
  Tensor y_;  // i64 [rows], f32 [rows, 1], or f32 [rows, 0] without a target
};

}  // namespace rstorch::data
