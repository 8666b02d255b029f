#include "train/experiment.h"

#include <algorithm>

#include "base/log.h"
#include "config/suggest.h"
#include "tensor/runtime.h"
#include "train/checkpoint.h"

namespace rstorch {
namespace {

using config::Code;
using config::Report;
using config::Value;

constexpr int64_t kSmokeBatch = 16;

// Keys of the full format that this version does not have.
struct Later {
  std::string_view section;  // empty: the top
  std::string_view key;
  std::string_view what;
};
constexpr Later kLater[] = {
    {"", "plugins", "plug-ins"},
    {"logging", "tensorboard", "TensorBoard files"},
};

// Reports such keys and takes them out, so that they are not called unknown too.
Value without_later_keys(Value root, Report& report) {
  for (const Later& later : kLater) {
    Value* section = later.section.empty() ? &root : root.find(later.section);
    const Value* found = section ? section->find(later.key) : nullptr;
    if (!found) continue;
    report.error(Code::unsupported, format("`{}` is not in this version", later.key))
        .key(*found)
        .label("not yet")
        .help(format("leave the key out; {}: in a later version", later.what));
    section->erase(later.key);
  }
  return root;
}

template <class Registry>
typename Registry::Recipe read_kind(const Registry& registry, const Value& value, Report& report) {
  return value.is_null() || value.is_broken() ? typename Registry::Recipe() : registry.read(value, report);
}

// Losses over classes have an accuracy; others are their own measure.
std::vector<Value> default_metrics(std::string_view loss) {
  const bool classes = loss == "CrossEntropyLoss" || loss == "BCEWithLogitsLoss";
  return classes ? std::vector<Value>{Value("accuracy")} : std::vector<Value>{};
}

void check_device(const Experiment& experiment, Report& report) {
  const std::string& device = experiment.config.device;
  const std::string_view index = device.starts_with("cuda:") ? std::string_view(device).substr(5) : "";
  const bool is_index = !index.empty() && index.size() <= 3 && index.find_first_not_of("0123456789") == index.npos;
  const Value* given = experiment.root.find("device");
  if (!given || !given->is_string() || device == "auto" || device == "cpu" || device == "cuda" || is_index) return;
  const bool gpu = device == "gpu";
  report.error(Code::out_of_range, format("there is no device `{}`", device))
      .at(*given)
      .label(gpu ? "did you mean `cuda`?" : "")
      .help("write auto (a GPU where there is one), cpu, cuda or cuda:INDEX");
}

void check_metric_name(const Value* section, std::string_view key, const std::vector<std::string>& known,
                       Report& report) {
  const Value* name = section ? section->find(key) : nullptr;
  if (!name || !name->is_string() || name->as_string() == "auto") return;
  if (std::find(known.begin(), known.end(), name->as_string()) != known.end()) return;
  const std::vector<std::string_view> names(known.begin(), known.end());
  const std::string measured = "val." + name->as_string();  // `loss` for `val.loss`
  const bool lacks_val = std::find(known.begin(), known.end(), measured) != known.end();
  const config::Suggestion suggestion = config::suggest_key(lacks_val ? measured : name->as_string(), names);
  report.error(Code::reference, format("there is no metric `{}`", name->as_string()))
      .at(*name)
      .label(suggestion.label)
      .help(suggestion.help.empty() ? "" : format("the metrics are: {}", join(known, ", ")));
}

const Value* find_path(const Value& root, std::initializer_list<std::string_view> keys) {
  const Value* at = &root;
  for (const std::string_view key : keys) at = at ? at->find(key) : nullptr;
  return at;
}

// The names that a validation measures.
std::vector<std::string> validation_metrics(const Experiment& experiment) {
  std::vector<std::string> names;
  if (!experiment.data.has_val()) return names;
  names.push_back("val.loss");
  for (const MetricRegistry::Recipe& recipe : experiment.metrics) {
    if (recipe) names.push_back("val." + recipe.make()->name());
  }
  return names;
}

void check_metric_names(Experiment& experiment, Report& report) {
  std::vector<std::string> known = validation_metrics(experiment);
  check_metric_name(find_path(experiment.root, {"checkpoint", "keep_best"}), "metric", known, report);
  check_metric_name(find_path(experiment.root, {"trainer", "early_stopping"}), "metric", known, report);
  known.insert(known.begin(), "train.loss");
  experiment.expectations = read_expectations(experiment.config.expect, known, report);
}

// The resolved config: what each layer made of its section.
Value resolve(const Experiment& experiment, const Value& root) {
  Report none;
  Value out = config::resolved<RunConfig>(root, none);
  out.set("data", experiment.data.resolved());
  out.set("loss", experiment.loss.resolved());
  Value metrics = Value::list();
  for (const MetricRegistry::Recipe& recipe : experiment.metrics) metrics.append(recipe.resolved());
  out.set("metrics", metrics);
  out.set("optimizer", experiment.optimizer.resolved());
  out.set("lr_scheduler", experiment.schedule.resolved());
  return out;
}

nn::BuildOptions on_meta() {
  nn::BuildOptions options;
  options.device = kMeta;
  return options;
}

nn::StateDict load_weights(const std::string& path) {
  if (std::filesystem::is_directory(path)) return Checkpoint(path).model().tensors();
  return SafetensorsFile(path).tensors();
}

}  // namespace

void RunSection::validate(const Value& at, Report& report) const {
  const auto is_visible = [](char c) { return static_cast<unsigned char>(c) > ' '; };
  const auto is_control = [](char c) { return static_cast<unsigned char>(c) < ' '; };
  constexpr size_t kLongest = 200;  // file systems take 255 bytes, and `-2` or `.tmp-` may be added
  const bool usable = name != "." && name != ".." && !name.starts_with('-') && name.size() <= kLongest &&
                      name.find('/') == name.npos && std::ranges::any_of(name, is_visible) &&
                      std::ranges::none_of(name, is_control);
  const Value* given = at.find("name");
  if (usable || !given) return;
  report.error(Code::out_of_range, "`run.name` is no name for a folder")
      .at(*given)
      .help(format("write a name such as `resnet-64`: at most {} bytes, no `/`, no `-` in front; where run folders are "
                   "made is said by run.dir",
                   kLongest));
}

void TrainerSection::validate(const Value& at, Report& report) const {
  if (max_epochs || max_steps || max_time) return;
  report.error(Code::missing_key, "the run has no end").entry(at).help("give max_epochs, max_steps or max_time");
}

Experiment Experiment::read(const Value& given, Report& report) {
  Experiment out;
  out.root = without_later_keys(given, report);
  out.config = config::read<RunConfig>(out.root, report);
  RunConfig& config = out.config;
  if (!config.data.is_null()) out.data = data::DataRecipe::read(config.data, report);
  out.loss = read_kind(nn::losses(), config.loss, report);
  for (const Value& metric : config.metrics ? *config.metrics : default_metrics(out.loss.name())) {
    out.metrics.push_back(read_kind(rstorch::metrics(), metric, report));
  }
  if (!config.optimizer.is_null()) out.optimizer = optim::OptimizerSpec::read(config.optimizer, report);
  out.schedule =
      read_kind(optim::schedules(), config.lr_scheduler.is_null() ? Value("constant") : config.lr_scheduler, report);
  check_device(out, report);
  check_metric_names(out, report);
  if (config.model.is_map() && config.model.has("input")) {
    const nn::BuiltModel planned = nn::build_model(config.model, on_meta(), report);
    if (planned && out.optimizer) out.optimizer.assign(planned.module->named_parameters(), report);
  }
  if (report.ok()) out.resolved = resolve(out, out.root);
  return out;
}

data::LoaderOptions Experiment::train_options(int rank, int world) const {
  data::LoaderOptions options = data.train_options(seed(), rank, world);
  options.micro_batch_size = config.trainer.micro_batch_size.value_or(0);
  return options;
}

nn::BuiltModel Experiment::build_model(const data::SampleSpec& spec, Device device) const {
  nn::BuildOptions options;
  options.sample_shape = spec.x_shape;
  options.sample_dtype = spec.x_dtype;
  options.device = device;
  options.seed = seed();
  options.load_weights = load_weights;
  Report report;
  nn::BuiltModel model = nn::build_model(config.model, options, report);
  report.throw_if_errors();
  return model;
}

nn::BuiltModel Experiment::plan_model(const data::SampleSpec* spec) const {
  nn::BuildOptions options = on_meta();
  if (spec) options.sample_shape = spec->x_shape;
  if (spec) options.sample_dtype = spec->x_dtype;
  Report report;
  nn::BuiltModel model = nn::build_model(config.model, options, report);
  report.throw_if_errors();
  return model;
}

Device Experiment::choose_device(int number) const {
  if (config.device == "cpu") return kCPU;
  if (cuda::is_available()) {
    const bool named = config.device.starts_with("cuda:");
    return named ? Device(config.device) : Device{DeviceType::cuda, number % cuda::device_count()};
  }
  if (config.device == "auto") {
    logging::info(format("device: cpu ({})", cuda::why_unavailable()));
    return kCPU;
  }
  Report report;
  const Value* device = root.find("device");
  report.error(Code::resource, format("device {} is not available", config.device))
      .at(device ? *device : root)
      .label(cuda::why_unavailable())
      .help("write `device: auto` to use the CPU where there is no GPU; `rstorch doctor` says more");
  report.throw_if_errors();
  return kCPU;
}

Value smoke_size(Value root) {
  const auto section = [&](std::string_view name) -> Value* {
    Value* found = root.find(name);
    return found && found->is_map() ? found : nullptr;
  };
  if (Value* data = section("data"); data && data->has("batch_size") && data->at("batch_size").is_int()) {
    const Value given = data->at("batch_size");
    Value batch = std::min(given.as_int(), kSmokeBatch);
    batch.set_key(given.key(), given.key_span());
    batch.set_span(given.span());
    batch.set_note(format("in smoke size it is {}", batch.text()));
    data->set("batch_size", std::move(batch));
  }
  if (Value* trainer = section("trainer")) {
    trainer->set("val_every", "4 steps");
    trainer->set("log_every", "1 steps");
  }
  if (Value* schedule = section("lr_scheduler")) {
    Value& keys = schedule->has("type") ? *schedule : schedule->items().front();
    const Value* const warmup = keys.find("warmup");
    const auto length = warmup && warmup->is_string() ? config::parse_duration(warmup->as_string()) : std::nullopt;
    if (length && length->unit == Unit::steps) keys.set("warmup", "1 steps");  // epochs are short here, steps are not
  }
  if (!section("checkpoint")) root.set("checkpoint", Value::map());
  section("checkpoint")->set("every", "4 steps");
  section("checkpoint")->set("resume", "never");
  root.erase("expect");
  return root;
}

}  // namespace rstorch
