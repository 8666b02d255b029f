#include "train/fit_check.h"

#include <algorithm>

#include "autograd/grad_mode.h"
#include "nn/random_scope.h"
#include "train/evaluator.h"

namespace rstorch {
namespace {

using config::Code;
using config::Diagnostic;
using config::Report;
using config::Value;
using Target = nn::Loss::Target;

constexpr int64_t kBatch = 2;

Tensor meta_batch(int64_t samples, Shape sample, DType dtype) {
  sample.insert(0, samples);
  return Tensor::empty(sample, {dtype, kMeta});
}

std::string counted(int64_t count, std::string_view noun) {
  return format("{} {}{}", count, noun, count == 1 ? "" : "s");
}

class FitCheck {
 public:
  FitCheck(const Experiment& experiment, const data::SampleSpec& spec, int ranks, Report& report)
      : experiment_(experiment),
        spec_(spec),
        ranks_(ranks),
        report_(report),
        model_(experiment.plan_model(&spec)),
        loss_(experiment.loss.make()) {
    loss_->to(kMeta);
  }

  void run() {
    if (target_fits() && output_fits()) measure();
  }

  // There is something to train.
  void parameters() {
    if (!model_.module->parameters().empty()) return;
    report_.error(Code::out_of_range, "the model has no parameters to train")
        .entry(model_.layers.empty() ? experiment_.root.at("model") : model_.layers.back().where)
        .help("add a layer that has some, Linear: {out_features: ...} for example");
  }

  // Every number of samples that goes through the model at once in an epoch.
  void batches(int64_t samples) {
    const int64_t batch = experiment_.data.config().batch_size;
    const int64_t last = experiment_.data.config().drop_last ? 0 : samples % batch;
    if (batch <= samples) parts(batch);
    if (last == 0 || !report_.ok()) return;
    const std::string refusal = refusal_of(last);
    if (refusal.empty()) return parts(last);
    report_.error(Code::data_mismatch, "the last batch of an epoch is too small")
        .entry(batch_size())
        .label(format("{}, so the last batch has {}", counted(samples, "training sample"), last))
        .line("because", refusal)
        .help("write drop_last: true beside it, or another batch_size");
  }

 private:
  std::string_view loss_name() const { return experiment_.loss.name(); }
  const Value& batch_size() const { return experiment_.root.at("data").at("batch_size"); }
  const Shape& output() const { return model_.output; }

  Diagnostic& output_error(const Value& where) {
    return report_.error(Code::data_mismatch, "the model's output does not fit the data").entry(where);
  }

  // The output has another size than the target, which its last layer with parameters says: there it is written.
  void wrong_width(const std::string& label, int64_t wanted, const std::string& other = {}) {
    const auto& layers = model_.layers;
    const auto last =
        std::find_if(layers.rbegin(), layers.rend(), [](const auto& layer) { return layer.parameters > 0; });
    const nn::LayerInfo& layer = last == layers.rend() ? layers.back() : *last;
    for (const std::string_view key : {"out_features", "out_channels"}) {
      const Value* const width = layer.stated(key);
      if (!width) continue;
      output_error(*width).label(label).help(format("write {}: {}{}", key, wanted, other));
      return;
    }
    output_error(layer.where).label(label).help(format("its output has to have {}{}", wanted, other));
  }

  void wrong_axes(const std::string& wanted_text, int64_t wanted) {
    output_error(model_.layers.back().where)
        .label(format("gives {}, but {}", output().text(), wanted_text))
        .help(format("end the model with Flatten and Linear: {{out_features: {}}}", wanted));
  }

  Diagnostic& loss_error() {
    return report_.error(Code::data_mismatch, "the loss does not fit the data").at(experiment_.root.at("loss"));
  }

  // The data's target is of the kind that the loss compares with.
  bool target_fits() {
    if (spec_.y_shape.numel() == 0) {
      loss_error().label("the data has no target").help("name the column to predict: data.target");
      return false;
    }
    const Target wanted = loss_->wanted_target();
    if (wanted == Target::classes && !spec_.is_classification()) {
      loss_error()
          .label(format("{} wants classes, the data's target is {}", loss_name(), numbers_text()))
          .help("write loss: MSELoss; or make the target a class (csv: task: classification)");
      return false;
    }
    if (wanted == Target::numbers && spec_.is_classification()) {
      loss_error()
          .label(format("{} wants numbers, the data's target is one of {}", loss_name(), classes_text()))
          .help("write loss: CrossEntropyLoss; or make the target a number (csv: task: regression)");
      return false;
    }
    if (wanted == Target::binary && spec_.classes > 2) {
      loss_error()
          .label(format("{} wants targets 0 and 1, the data has {}", loss_name(), classes_text()))
          .help("write loss: CrossEntropyLoss");
      return false;
    }
    return true;
  }

  std::string classes_text() const { return format("{} class{}", spec_.classes, spec_.classes == 1 ? "" : "es"); }
  std::string numbers_text() const { return counted(spec_.y_shape.numel(), "number"); }

  // The model's output is as wide as the target.
  bool output_fits() { return loss_->wanted_target() == Target::classes ? has_classes() : has_numbers(); }

  bool has_classes() {
    const Shape rest = output().dims() > 0 ? output().slice(1, output().dims()) : Shape();
    if (output().dims() == 0 || rest != spec_.y_shape) {
      Shape wanted = spec_.y_shape;
      wanted.insert(0, spec_.classes);
      wrong_axes(format("{} of {} wants {}", loss_name(), classes_text(), wanted.text()), spec_.classes);
      return false;
    }
    if (output()[0] >= spec_.classes) return true;
    const bool binary = output()[0] == 1 && spec_.classes == 2;
    wrong_width(format("{}, but the data has {}", output()[0], classes_text()), spec_.classes,
                binary ? ", or loss: BCEWithLogitsLoss" : "");
    return false;
  }

  bool has_numbers() {
    const Shape& target = spec_.y_shape;
    const bool one_axis = target.dims() <= 1 && output().dims() <= 1;
    if (output() == target || (one_axis && output().numel() == target.numel())) return true;
    if (!one_axis) {
      wrong_axes(format("the data's target is {}", target.text()), target.numel());
    } else if (spec_.is_classification()) {
      wrong_width(format("{}, but {} wants one output for {}", output()[0], loss_name(), classes_text()), 1,
                  ", or loss: CrossEntropyLoss");
    } else {
      wrong_width(format("{}, but the data's target is {}", output()[0], numbers_text()), target.numel());
    }
    return false;
  }

  // What is left to go wrong: weights of the loss, metrics for another kind of target.
  void measure() {
    const NoGrad no_grad;
    const Tensor output = meta_batch(kBatch, model_.output, DType::f32);
    const Tensor target = loss_->target_for(output, meta_batch(kBatch, spec_.y_shape, spec_.y_dtype));
    try {
      loss_->sum(output, target);
      loss_->count(output, target);
    } catch (const Error& error) {
      loss_error().label(error.what()).help(error.hint());
    }
    for (const MetricRegistry::Recipe& recipe : experiment_.metrics) {
      try {
        recipe.make()->add(output, target, loss_->counted(target));
      } catch (const OutOfMemoryError&) {
        throw;
      } catch (const Error& error) {
        report_.error(Code::data_mismatch, format("the metric {} does not fit the data", recipe.name()))
            .at(recipe.given())
            .label(error.what())
            .help(spec_.is_classification() ? "the target is a class: write accuracy" : error.hint());
      }
    }
  }

  // A batch, cut as the trainer does.
  void parts(int64_t batch) {
    const int64_t micro = experiment_.config.trainer.micro_batch_size.value_or(batch);
    const int64_t part = micro < batch ? std::min(batch, micro * ranks_) : batch;
    const bool is_cut = part < batch;
    for (const int64_t samples : {part, batch % part}) {
      const std::string refusal = samples > 0 ? refusal_of(samples) : "";
      if (refusal.empty()) continue;
      report_.error(Code::data_mismatch, is_cut ? "a part of a batch is too small" : "a batch is too small")
          .entry(is_cut ? experiment_.root.at("trainer").at("micro_batch_size") : batch_size())
          .label(is_cut ? format("a batch of {} has a part of {}", batch, samples) : "")
          .line("because", refusal)
          .help("use a larger size, one that leaves no small rest");
      return;
    }
  }

  // Why the model cannot be trained on so many samples at once; empty where it can.
  std::string refusal_of(int64_t samples) {
    const NoGrad no_grad;
    const nn::RandomScope random({});
    const DType dtype = is_floating(spec_.x_dtype) ? DType::f32 : spec_.x_dtype;
    try {
      (*model_.module)(meta_batch(samples, spec_.x_shape, dtype));
    } catch (const ShapeError& error) {
      return error.what();
    }
    return {};
  }

  const Experiment& experiment_;
  const data::SampleSpec& spec_;
  int ranks_;
  Report& report_;
  nn::BuiltModel model_;
  std::unique_ptr<nn::Loss> loss_;
};

}  // namespace

void check_fit(const Experiment& experiment, const data::SampleSpec& spec) {
  Report report;
  FitCheck(experiment, spec, 1, report).run();
  report.throw_if_errors();
}

void check_training_fit(const Experiment& experiment, const data::SampleSpec& spec, int64_t samples, int ranks) {
  Report report;
  FitCheck check(experiment, spec, ranks, report);
  check.run();
  check.parameters();
  check.batches(samples);
  report.throw_if_errors();
}

}  // namespace rstorch
