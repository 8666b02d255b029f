#include "train/saved_model.h"

#include <algorithm>

#include "config/load.h"
#include "data/loader.h"
#include "optim/ema.h"
#include "train/fit_check.h"
#include "train/rank_device.h"

namespace rstorch {
namespace {

namespace fs = std::filesystem;
using config::Report;
using config::Value;

// Relative paths of data begin where the run was, if the data is still there. Those of the command line begin here.
void anchor_paths(Value& tree, const files::Path& folder) {
  for (Value& entry : tree.items()) {
    anchor_paths(entry, folder);
    if (entry.key() != "path" || !entry.is_string() || entry.origin() != config::Origin::file) continue;
    const files::Path there = folder / entry.as_string();
    if (!files::is_there(there)) continue;
    Value anchored(there.string());
    anchored.set_span(entry.span());
    tree.set("path", std::move(anchored));
  }
}

Experiment read_experiment(const Checkpoint& checkpoint, const TrainingState& state,
                           std::span<const std::string> overrides, const std::function<void(Value&)>& change) {
  Report report;
  Value root =
      config::load_text(checkpoint.config_text(), (checkpoint.folder() / "config.yaml").string(), overrides, report);
  if (Value* data = root.find("data"); data && state.folder != fs::current_path()) anchor_paths(*data, state.folder);
  if (change && root.is_map()) change(root);
  if (Value* model = root.find("model")) model->erase("weights");  // the checkpoint has them
  Experiment experiment = Experiment::read(root, report);
  report.throw_if_errors();
  return experiment;
}

// In the place of the weights. Throws CheckpointError where there are none.
void load_averages(const Checkpoint& checkpoint, nn::Module& model) {
  nn::StateDict averages;
  for (NamedTensor& named : checkpoint.trainer().tensors()) {
    if (!optim::ExponentialMovingAverage::is_state(named.name)) continue;
    averages.push_back({named.name.substr(optim::ExponentialMovingAverage::kPrefix.size()), named.tensor});
  }
  if (averages.empty()) {
    throw CheckpointError(
        format("{} has no averages of weights: its run was without trainer.ema", checkpoint.folder().string()),
        "add ~trainer.ema to the command line");
  }
  model.load_state_dict(averages, nn::Strict::no);  // buffers and frozen weights have none
}

// The dataset's keys in the short form of `data:`, where they stand beside the section's own.
Value dataset_of_short_form(const Value& section) {
  Value dataset = section;
  for (const config::FieldInfo& field : config::describe<data::DataConfig>().fields) dataset.erase(field.name);
  return dataset;
}

Value current_dataset(const Value& section) {
  for (const std::string_view key : {"val", "train"}) {
    if (const Value* dataset = section.find(key); dataset && !dataset->is_null()) return *dataset;
  }
  Value dataset = dataset_of_short_form(section);
  // What is held out is what validation reads.
  if (const Value* split = dataset.find("split"); split && split->is_string()) dataset.set("split", "test");
  return dataset;
}

}  // namespace

SavedModel::SavedModel(const files::Path& path, std::span<const std::string> overrides,
                       const std::function<void(Value& root)>& change)
    : checkpoint_(path),
      state_(read_training_state(checkpoint_)),
      experiment_(read_experiment(checkpoint_, state_, overrides, change)) {}

data::DatasetPtr SavedModel::open_data() const {
  // The split of the run, whatever `seed` an override gives.
  if (data::DatasetPtr data = experiment_.data.open_val(uint64_t(state_.seed), state_.data)) return data;
  throw DataError("the checkpoint's config has no validation data", "name some: data.val={type: ..., path: ...}");
}

nn::BuiltModel SavedModel::build_model(const data::SampleSpec& spec, Device device) const {
  nn::BuiltModel model = experiment_.build_model(spec, device);
  model.module->load_state_dict(checkpoint_.model().tensors());
  if (experiment_.config.trainer.ema && state_.step > 0) load_averages(checkpoint_, *model.module);
  model.module->eval();
  return model;
}

Metrics evaluate(const SavedModel& saved, dist::ProcessGroup& group) {
  const Experiment& experiment = saved.experiment();
  const Device device = prepare_device(experiment, group);
  const data::DatasetPtr data = saved.open_data();
  check_fit(experiment, data->spec());
  const nn::BuiltModel model = saved.build_model(data->spec(), device);
  const std::unique_ptr<nn::Loss> loss = experiment.loss.make();
  loss->to(device);
  const Arithmetic arithmetic(experiment.config.trainer.precision, device);
  Evaluator evaluator(*model.module, arithmetic, *loss, experiment.metrics, device, group);
  return *evaluator.evaluate(data::DataLoader(*data, experiment.data.val_options(group.rank(), group.size())));
}

void use_data(Value& root, const std::string& data, Report& report) {
  Value* section = root.find("data");
  if (!section || !section->is_map()) return;
  Value dataset = current_dataset(*section);
  if (data.starts_with('{')) {
    dataset =
        config::merge(std::move(dataset), config::parse(data, "--data", report, config::Origin::argument), report);
  } else {
    dataset.set("path", data);
  }
  section->set("val", std::move(dataset));
  section->erase("val_fraction");
}

}  // namespace rstorch
