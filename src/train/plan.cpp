#include "train/plan.h"

#include <algorithm>
#include <iterator>

#include "optim/ema.h"
#include "optim/parameter_arena.h"
#include "train/fit_check.h"
#include "train/safetensors.h"
#include "train/text_table.h"

namespace rstorch {
namespace {

using config::Value;

int64_t trainer_file_bytes(const Experiment& experiment, const nn::Module& model) {
  config::Report report;
  const optim::ParameterArena arena(experiment.optimizer.assign(model.named_parameters(), report));
  report.throw_if_errors();
  const auto optimizer = experiment.optimizer.make(arena.flat_groups());
  std::vector<NamedTensor> state = optim::named_state(*optimizer, arena);
  if (experiment.config.trainer.ema) {
    optim::ExponentialMovingAverage average(arena, experiment.config.trainer.ema->decay);
    average.set_begun(true);
    std::ranges::move(average.state(), std::back_inserter(state));
  }
  return int64_t(safetensors_bytes(state));
}

// Null, and why, where it cannot be read and the config says itself what goes into the model.
data::DatasetPtr open_training_data(const Experiment& experiment, std::string& unread) {
  try {
    return experiment.data.open(experiment.seed()).train;
  } catch (const DataError& error) {
    if (!experiment.config.model.has("input")) throw;
    unread = error.what();
    return nullptr;
  }
}

Value shape_value(const Shape& shape) {
  Value out = Value::list();
  for (const int64_t size : shape) out.append(size);
  return out;
}

}  // namespace

Plan make_plan(const Experiment& experiment) {
  Plan plan;
  const data::DatasetPtr data = open_training_data(experiment, plan.unread);
  if (data) check_training_fit(experiment, data->spec(), data->size());
  plan.model = experiment.plan_model(data ? &data->spec() : nullptr);
  plan.batch_size = experiment.data.config().batch_size;
  plan.parameters = plan.model.module->parameter_count();
  for (const nn::LayerInfo& layer : plan.model.layers) {
    plan.flops += layer.flops;
    plan.activation_bytes += layer.activation_bytes;
  }
  plan.model_bytes = int64_t(safetensors_bytes(plan.model.module->state_dict(), {{"format", "pt"}}));
  plan.trainer_bytes = trainer_file_bytes(experiment, *plan.model.module);
  return plan;
}

std::string plan_text(const Plan& plan) {
  using Align = TextTable::Align;
  TextTable table({{"layer"}, {"kind"}, {"output"}, {"parameters", Align::right}, {"FLOPs", Align::right}});
  table.add({"", "input", plan.model.input.text(), "", ""});
  for (const nn::LayerInfo& layer : plan.model.layers) {
    table.add({layer.path, layer.kind, layer.output.text(), layer.parameters ? grouped(layer.parameters) : "",
               layer.flops ? grouped(layer.flops) : ""});
  }
  table.add({"total", "", "", grouped(plan.parameters), grouped(plan.flops)});
  return table.text() +
         format(
             "\n"
             "FLOPs      forward pass of one sample; a step of {} samples takes about {}\n"
             "outputs    {} for a sample, {} for a batch\n"
             "checkpoint {}: model {}, trainer {}\n",
             plan.batch_size, flops_text(step_flops(plan)), bytes_text(double(plan.activation_bytes)),
             bytes_text(double(plan.activation_bytes) * double(plan.batch_size)),
             bytes_text(double(plan.model_bytes + plan.trainer_bytes)), bytes_text(double(plan.model_bytes)),
             bytes_text(double(plan.trainer_bytes))) +
         (plan.unread.empty() ? "" : format("data       not looked at: {}\n", plan.unread));
}

Value plan_value(const Plan& plan) {
  Value layers = Value::list();
  for (const nn::LayerInfo& layer : plan.model.layers) {
    layers.append(Value::map({{"name", layer.path},
                              {"kind", layer.kind},
                              {"output", shape_value(layer.output)},
                              {"parameters", layer.parameters},
                              {"flops", layer.flops},
                              {"activation_bytes", layer.activation_bytes}}));
  }
  return Value::map({{"input", shape_value(plan.model.input)},
                     {"output", shape_value(plan.model.output)},
                     {"layers", layers},
                     {"parameters", plan.parameters},
                     {"batch_size", plan.batch_size},
                     {"flops", plan.flops},
                     {"step_flops", step_flops(plan)},
                     {"activation_bytes", plan.activation_bytes},
                     {"checkpoint_bytes", plan.model_bytes + plan.trainer_bytes}});
}

}  // namespace rstorch
