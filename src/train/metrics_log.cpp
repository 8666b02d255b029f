#include "train/metrics_log.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <sstream>

#include "base/log.h"
#include "config/dump.h"

namespace rstorch {
namespace {

using config::Value;

std::string json_line(const MetricsRecord& record) {
  Value line =
      Value::map({{"step", record.step}, {"epoch", record.epoch}, {"time", std::round(record.seconds * 1e3) / 1e3}});
  for (const auto& [name, value] : record.values) line.set(name, value);
  return config::to_json(line) + "\n";
}

// Those of a csv that has begun, after step, epoch and time.
std::vector<std::string> columns_of(const files::Path& csv) {
  std::string header, name;
  std::ifstream file(csv);
  std::getline(file, header);
  std::vector<std::string> names;
  for (std::istringstream in(header); std::getline(in, name, ',');) names.push_back(name);
  names.erase(names.begin(), names.begin() + std::min<ptrdiff_t>(3, std::ssize(names)));
  return names;
}

}  // namespace

std::string metric_text(double value) { return std::isnan(value) ? "nan" : format("{:.4f}", value); }

std::string metrics_text(const Metrics& metrics) {
  std::string out;
  for (const auto& [name, value] : metrics) out += format("{}{} {}", out.empty() ? "" : "  ", name, metric_text(value));
  return out;
}

MetricsLog::MetricsLog(const files::Path& folder, Options options, const Sizes& sizes)
    : options_(std::move(options)),
      sizes_(sizes),
      jsonl_(open(options_.jsonl, folder / "metrics.jsonl", sizes.jsonl)),
      csv_(open(options_.csv, folder / "metrics.csv", sizes.csv)) {
  if (csv_ && csv_->lines.size() > 0)
    keep_columns();
  else if (csv_)
    csv_->add(format("step,epoch,time,{}\n", join(options_.columns, ",")));
}

std::optional<MetricsLog::File> MetricsLog::open(bool wanted, const files::Path& path, int64_t size) {
  if (!wanted) return {};
  File file{files::LineFile(path), {}, false};
  if (file.lines.size() > size) file.lines.cut(size);
  return file;
}

void MetricsLog::keep_columns() {
  std::vector<std::string> columns = columns_of(csv_->lines.path());
  std::vector<std::string>& lost = options_.columns;
  std::erase_if(lost, [&](const std::string& name) { return std::ranges::count(columns, name) > 0; });
  if (!lost.empty()) {
    logging::warning(format("{} keeps the columns that it began with: it will not have {}", csv_->lines.path().string(),
                            join(lost, ", ")));
  }
  options_.columns = std::move(columns);
}

void MetricsLog::write(const MetricsRecord& record) {
  if (jsonl_) jsonl_->add(json_line(record));
  if (csv_) csv_->add(csv_line(record));
}

MetricsLog::Sizes MetricsLog::sync() {
  if (jsonl_) sizes_.jsonl = jsonl_->sync();
  if (csv_) sizes_.csv = csv_->sync();
  return sizes_;
}

std::string MetricsLog::csv_line(const MetricsRecord& record) const {
  std::string line = format("{},{},{:.3f}", record.step, record.epoch, record.seconds);
  for (const std::string& column : options_.columns) {
    const double* value = find_metric(record.values, column);
    line += value ? "," + config::double_text(*value) : ",";
  }
  return line + "\n";
}

void MetricsLog::File::add(std::string_view line) {
  waiting += line;
  try {
    lines.append(waiting);
    waiting.clear();
    warned = false;
  } catch (const CheckpointError& e) {
    if (!warned) logging::warning(format("{}; training goes on, the lines wait", e.what()));
    warned = true;
  }
}

int64_t MetricsLog::File::sync() {
  if (!waiting.empty()) lines.append(waiting);
  waiting.clear();
  lines.sync();
  return lines.size();
}

}  // namespace rstorch
