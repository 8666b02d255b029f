#include "data/data.h"

#include <algorithm>
#include <future>
#include <numeric>

#include "base/error.h"
#include "data/csv.h"
#include "data/mnist.h"
#include "data/random.h"

namespace rstorch::data {
namespace {

using config::Code;
using config::Report;
using config::Value;
using R = DatasetRegistry;

constexpr R::Entry table[] = {
    R::entry<Csv>("csv", "Table in a CSV file; numeric and categorical columns."),
    R::entry<MNIST>("mnist", "Images and labels in IDX files under MNIST's names."),
    R::entry<Random>("random", "Made-up samples of a declared shape."),
};
constexpr R registry("dataset", table);

std::vector<std::string_view> own_keys() {
  std::vector<std::string_view> keys;
  for (const config::FieldInfo& field : config::describe<DataConfig>().fields) keys.push_back(field.name);
  return keys;
}

// A section in its two parts: our keys, and those of a dataset that stands beside them.
struct Parts {
  Value own;
  Value dataset;
};
Parts take_apart(const Value& section) {
  Parts parts{section, section};
  const std::vector<std::string_view> own = own_keys();
  for (const std::string_view key : section.keys()) {
    (std::ranges::find(own, key) == own.end() ? parts.own : parts.dataset).erase(key);
  }
  return parts;
}

// `{mnist: {path: p}}` as `{type: mnist, path: p}`, into `out`.
void add_typed(Value& out, const DatasetRegistry::Recipe& recipe) {
  const Value& body = *recipe.resolved().only();
  out.set("type", recipe.given().at("type"));  // with its place
  for (const Value& entry : body.items()) out.set(entry.key(), entry);
}

std::vector<TransformRegistry::Recipe> read_transforms(const std::vector<Value>& list, Report& report) {
  std::vector<TransformRegistry::Recipe> recipes;
  for (const Value& item : list) recipes.push_back(transforms().read(item, report));
  return recipes;
}

std::vector<Value> resolved_forms(const std::vector<TransformRegistry::Recipe>& recipes) {
  std::vector<Value> forms;
  for (const auto& recipe : recipes) forms.push_back(recipe.resolved());
  return forms;
}

DatasetPtr with_transforms(DatasetPtr dataset, const std::vector<TransformRegistry::Recipe>& recipes, uint64_t seed) {
  if (!dataset || recipes.empty()) return dataset;
  std::vector<std::unique_ptr<Transform>> made;
  for (const auto& recipe : recipes) made.push_back(recipe.make());
  return std::make_shared<Transformed>(std::move(dataset), std::move(made), seed);
}

std::vector<int64_t> all_rows(const Dataset& dataset) {
  std::vector<int64_t> rows(static_cast<size_t>(dataset.size()));
  std::iota(rows.begin(), rows.end(), 0);
  return rows;
}

// What was learnt, under the name of the kind that can use it.
Value state_of(const Dataset& dataset, std::string_view kind) { return Value::map({{kind, dataset.state()}}); }

void load_state(Dataset& dataset, std::string_view kind, const Value& state) {
  const Value* const own = state.find(kind);
  if (!own) {
    throw DataError(format("this data is `{}`, the training data was `{}`", kind, join(state.keys(), ", ")),
                    "data of another kind cannot be read as the training data was", 5);
  }
  dataset.load_state(*own);
}

void learn(Dataset& dataset, std::string_view kind, std::span<const int64_t> rows, const Value* state) {
  if (state)
    load_state(dataset, kind, *state);
  else
    dataset.fit(rows);
}

// `at`: the entry of the config that makes it so.
void require_samples(int64_t count, std::string_view what, const std::string& why, const Value& at) {
  if (count > 0) return;
  DataError error(format("no sample to {}: {}", what, why),
                  "give data with more samples, or change or leave out this key", 6);
  error.set_position(at.position());
  throw error;
}

void check_alike(const Dataset& train, const Dataset& val) {
  const SampleSpec &a = train.spec(), &b = val.spec();
  if (a.x_shape == b.x_shape && a.x_dtype == b.x_dtype && a.y_shape == b.y_shape && a.y_dtype == b.y_dtype &&
      a.classes == b.classes) {
    return;
  }
  throw DataError(format("training and validation samples differ: {} against {}", a.text(), b.text()), {}, 5);
}

}  // namespace

const DatasetRegistry& datasets() { return registry; }

const config::KindTable& dataset_kinds() {
  static const config::KindTable kinds = registry.kinds();
  return kinds;
}

DataRecipe DataRecipe::read(const Value& section, Report& report) {
  DataRecipe recipe;
  const Parts parts = section.is_map() ? take_apart(section) : Parts{section, Value()};
  const bool is_short = parts.dataset.has("type");
  const bool is_long = parts.own.has("train");
  const size_t errors_before = report.size();
  // In the long form there is no dataset beside our keys: what is left over is unknown.
  const Value& common = is_short ? parts.own : section;
  recipe.config_ = config::read<DataConfig>(common, report);
  if (!section.is_map()) return recipe;

  if (is_short && is_long) {
    report.error(Code::conflict, "`type` and `train` both name the training data").entry(section.at("train"));
  } else if (is_short) {
    recipe.train_ = datasets().read(parts.dataset, report, {.also = own_keys()});
  } else if (is_long) {
    recipe.train_ = datasets().read(recipe.config_.train, report);
  } else {
    report.error(Code::missing_key, "no training data")
        .at(section)
        .help("write `type` with the dataset's keys, or `train: {type: ...}`");
  }
  recipe.read_val(parts.dataset, report);
  recipe.train_transforms_ = read_transforms(recipe.config_.transforms.train, report);
  recipe.val_transforms_ = read_transforms(recipe.config_.transforms.val, report);
  if (report.size() > errors_before) return recipe;
  recipe.resolve(config::adopt_origins(config::write(recipe.config_), common), is_short);
  return recipe;
}

// Held-out data: `val`, or a fraction, or what the kind itself holds out (`split: test` beside `split: train`).
void DataRecipe::read_val(const Value& dataset, Report& report) {
  const bool given = !config_.val.is_null();
  if (given && config_.val_fraction > 0) {
    report.error(Code::conflict, "`val` and `val_fraction` both name the validation data").entry(config_.val);
    return;
  }
  if (given) {
    val_ = datasets().read(config_.val, report);
    return;
  }
  if (!train_ || config_.val_fraction > 0 || !dataset.has("type")) return;
  const Value* const split = train_.resolved().only()->find("split");
  if (!split || split->as_string() != "train") return;
  Value held_out = dataset;
  held_out.set("split", "test");
  val_ = datasets().read(held_out, report);
}

void DataRecipe::resolve(Value own, bool is_short) {
  if (is_short) {
    own.erase("train");
    add_typed(own, train_);
  } else {
    own.set("train", train_.resolved());
  }
  if (config_.val.is_null())
    own.erase("val");
  else
    own.set("val", val_.resolved());
  Value& lists = *own.find("transforms");
  lists.set("train", config::write(resolved_forms(train_transforms_)));
  lists.set("val", config::write(resolved_forms(val_transforms_)));
  resolved_ = std::move(own);
}

OpenedData DataRecipe::open(uint64_t seed) const { return open(seed, nullptr); }
OpenedData DataRecipe::open(uint64_t seed, const Value& state) const { return open(seed, &state); }

OpenedData DataRecipe::open(uint64_t seed, const Value* state) const {
  // The validation file is read beside the training file: opening is most of the start of a short run.
  std::future<std::unique_ptr<Dataset>> val_file;
  if (val_) val_file = std::async(std::launch::async, [this] { return val_.make(); });

  OpenedData opened;
  std::shared_ptr<Dataset> file = train_.make();
  if (config_.val_fraction > 0) {
    SplitIndices split = split_indices(file->size(), config_.val_fraction, seed);
    const Value& at = resolved_.at("val_fraction");
    const std::string why = format("val_fraction {} of {} samples leaves {} and {}", at.text(), file->size(),
                                   split.first.size(), split.rest.size());
    require_samples(int64_t(split.first.size()), "validate", why, at);
    require_samples(int64_t(split.rest.size()), "train on", why, at);
    learn(*file, train_.name(), split.rest, state);
    opened.train = std::make_shared<Subset>(file, std::move(split.rest));
    opened.val = std::make_shared<Subset>(file, std::move(split.first));
  } else {
    learn(*file, train_.name(), all_rows(*file), state);
    opened.train = file;
  }
  opened.state = state_of(*file, train_.name());
  if (val_) {
    std::shared_ptr<Dataset> val = val_file.get();
    load_state(*val, val_.name(), opened.state);
    require_samples(val->size(), "validate", "the validation data is empty", val_.given());
    opened.val = std::move(val);
  }
  opened.train = with_transforms(std::move(opened.train), train_transforms_, seed);
  opened.val = with_transforms(std::move(opened.val), val_transforms_, seed);
  if (opened.val) check_alike(*opened.train, *opened.val);
  return opened;
}

DatasetPtr DataRecipe::open_val(uint64_t seed, const Value& state) const {
  if (!val_) return open(seed, state).val;
  std::shared_ptr<Dataset> val = val_.make();
  load_state(*val, val_.name(), state);
  return with_transforms(std::move(val), val_transforms_, seed);
}

LoaderOptions DataRecipe::train_options(uint64_t seed, int rank, int world) const {
  return {.batch_size = config_.batch_size,
          .shuffle = config_.shuffle,
          .drop_last = config_.drop_last,
          .num_workers = config_.num_workers,
          .prefetch_factor = config_.prefetch_factor,
          .seed = seed,
          .rank = rank,
          .world = world};
}

LoaderOptions DataRecipe::val_options(int rank, int world) const {
  LoaderOptions options = train_options(0, rank, world);
  options.shuffle = false;
  options.drop_last = false;
  return options;
}

}  // namespace rstorch::data
