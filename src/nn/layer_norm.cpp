#include "nn/layer_norm.h"

#include "nn/init.h"

namespace rstorch::nn {
namespace {

Shape shape_of(const LayerNorm::Config& config) {
  return stated(LayerNorm::kind, "normalized_shape", config.normalized_shape).values;
}

}  // namespace

void LayerNorm::Config::infer(Inference& input) {
  const Shape& x = input.input();
  if (x.dims() < 2) throw ShapeError("LayerNorm: the input has no axis to normalise over");
  if (!normalized_shape) {
    normalized_shape = Sizes(x.back());
    return;
  }
  const Shape wanted(normalized_shape->values);
  const Shape sample = x.slice(1, x.dims());
  if (wanted.dims() <= sample.dims() && sample.slice(sample.dims() - wanted.dims(), sample.dims()) == wanted) return;
  const Shape actual = sample.slice(std::max(0, sample.dims() - wanted.dims()), sample.dims());
  input.mismatch("normalized_shape", format("{}, but the input here is {}", wanted.text(), sample.text()),
                 format("leave out normalized_shape (it is inferred) or write {}", actual.text()));
  normalized_shape->values = actual.vector();
}

LayerNorm::LayerNorm(const Config& config)
    : weight(register_parameter_if(config.elementwise_affine, "weight", shape_of(config))),
      bias(register_parameter_if(config.elementwise_affine && config.bias, "bias", shape_of(config))),
      normalized_shape_(shape_of(config)),
      eps_(config.eps) {
  reset_parameters();
}

void LayerNorm::reset_parameters() {
  if (weight.defined()) init::ones_(weight);
  if (bias.defined()) init::zeros_(bias);
}

}  // namespace rstorch::nn
