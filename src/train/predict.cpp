#include "train/predict.h"

#include <algorithm>
#include <cstdlib>

#include "autograd/grad_mode.h"
#include "config/dump.h"
#include "data/loader.h"

namespace rstorch {
namespace {

using config::Value;

// One sample's line.
struct Row {
  int64_t index = 0;
  std::vector<double> outputs;
  std::optional<int64_t> prediction;  // a class
  std::vector<double> target;         // a class, numbers, or nothing
};

// The double with the fewest digits among those that are the same f32: 0.1, not 0.10000000149011612.
double shortest(double x) { return std::strtod(format("{}", float(x)).c_str(), nullptr); }

class RowWriter {
 public:
  RowWriter(const data::SampleSpec& spec, PredictionFormat format) : spec_(spec), format_(format) {}

  // The header of a csv; with the first row it is known how many outputs there are.
  std::string head(const Row& first) const {
    if (format_ == PredictionFormat::jsonl) return {};
    std::string line = "index";
    if (first.prediction) line += ",prediction";
    line += columns("target", first.target.size(), spec_.is_classification());
    return line + columns("output", first.outputs.size(), false) + "\n";
  }
  std::string line(const Row& row) const { return format_ == PredictionFormat::jsonl ? json(row) : csv(row); }

 private:
  static std::string columns(std::string_view name, size_t count, bool single) {
    if (single && count == 1) return format(",{}", name);
    std::string out;
    for (size_t i = 0; i < count; ++i) out += format(",{}_{}", name, i);
    return out;
  }

  Value class_value(int64_t index) const {
    const bool named = index >= 0 && size_t(index) < spec_.class_names.size();
    return named ? Value(spec_.class_names[size_t(index)]) : Value(index);
  }

  std::string json(const Row& row) const {
    Value line = Value::map({{"index", row.index}});
    line.set(row.prediction ? "logits" : "outputs", config::write(row.outputs));
    if (row.prediction) line.set("prediction", class_value(*row.prediction));
    if (!row.target.empty()) {
      line.set("target", spec_.is_classification() ? class_value(int64_t(row.target[0])) : config::write(row.target));
    }
    return config::to_json(line) + "\n";
  }

  std::string csv(const Row& row) const {
    std::string line = std::to_string(row.index);
    if (row.prediction) line += "," + csv_cell(class_value(*row.prediction));
    for (const double x : row.target) {
      line += "," + (spec_.is_classification() ? csv_cell(class_value(int64_t(x))) : config::double_text(x));
    }
    for (const double x : row.outputs) line += "," + config::double_text(x);
    return line + "\n";
  }

  // Names with commas or quotes are quoted.
  static std::string csv_cell(const Value& value) {
    if (!value.is_string()) return value.text();
    const std::string& text = value.as_string();
    if (text.find_first_of(",\"\n") == std::string::npos) return text;
    std::string quoted = "\"";
    for (const char c : text) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
    return quoted + "\"";
  }

  const data::SampleSpec& spec_;
  PredictionFormat format_;
};

// Rows of a batch of outputs [size, ...] and targets [size, ...].
std::vector<Row> rows_of(const data::Batch& batch, const Tensor& output, const data::SampleSpec& spec) {
  const std::vector<double> outputs = output.to_vector<double>();
  const std::vector<double> targets = batch.y.defined() ? batch.y.to_vector<double>() : std::vector<double>();
  const size_t width = outputs.size() / size_t(batch.size);
  const size_t target_width = targets.size() / size_t(batch.size);
  const bool classes = spec.is_classification() && int64_t(width) == spec.classes;
  const bool binary = spec.classes == 2 && width == 1;  // one logit, of the second class
  std::vector<Row> rows;
  for (size_t i = 0; i < size_t(batch.size); ++i) {
    Row row;
    row.index = batch.indices[i];
    row.outputs.assign(outputs.begin() + ptrdiff_t(i * width), outputs.begin() + ptrdiff_t((i + 1) * width));
    std::transform(row.outputs.begin(), row.outputs.end(), row.outputs.begin(), shortest);
    row.target.assign(targets.begin() + ptrdiff_t(i * target_width),
                      targets.begin() + ptrdiff_t((i + 1) * target_width));
    std::transform(row.target.begin(), row.target.end(), row.target.begin(), shortest);
    if (classes) row.prediction = std::max_element(row.outputs.begin(), row.outputs.end()) - row.outputs.begin();
    if (binary) row.prediction = row.outputs[0] > 0;
    rows.push_back(std::move(row));
  }
  return rows;
}

}  // namespace

std::optional<PredictionFormat> prediction_format(const files::Path& file) {
  const std::string extension = file.extension().string();
  if (extension == ".csv") return PredictionFormat::csv;
  if (extension == ".jsonl" || extension == ".json") return PredictionFormat::jsonl;
  return {};
}

int64_t write_predictions(const SavedModel& saved, const files::Path& file, PredictionFormat format) {
  const NoGrad no_grad;
  files::Output out(file);  // first: where it cannot be made nothing else has to be tried
  const Device device = saved.experiment().choose_device();
  const data::DatasetPtr data = saved.open_data();
  const nn::BuiltModel model = saved.build_model(data->spec(), device);
  const Arithmetic arithmetic(saved.experiment().config.trainer.precision, device);
  const data::DataLoader loader(*data, saved.experiment().data.val_options());
  const RowWriter writer(data->spec(), format);

  data::BatchStream batches = loader.stream(0, loader.size());
  bool first = true;
  while (const std::optional<data::Batch> batch = batches.next()) {
    const std::vector<Row> rows = rows_of(*batch, arithmetic.run(*model.module, batch->x.to(device)), data->spec());
    std::string text = first ? writer.head(rows.front()) : "";
    for (const Row& row : rows) text += writer.line(row);
    out.write(text);
    first = false;
  }
  out.finish();
  return data->size();
}

}  // namespace rstorch
