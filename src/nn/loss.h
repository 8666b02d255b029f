// Loss: a number to minimise, from a model's output and the target.
//
// A mean over a part of a batch is no part of the mean over the whole; ranks and accumulation steps therefore add up
// sum() and divide by the count() of the whole batch. The mean, forward(), is sum() / count() in one op.
#pragma once

#include "config/fields.h"
#include "ops/ops.h"

namespace rstorch {

constexpr auto names_of(Reduction) {
  return config::names<Reduction>({{Reduction::mean, "mean"}, {Reduction::sum, "sum"}, {Reduction::none, "none"}});
}

namespace nn {

class Loss {
 public:
  explicit Loss(Reduction reduction) : reduction_(reduction) {}
  virtual ~Loss() = default;

  // By the reduction: a 0-d tensor for mean and sum.
  Tensor forward(const Tensor& input, const Tensor& target) const { return reduce(input, target, reduction_); }
  Tensor operator()(const Tensor& input, const Tensor& target) const { return forward(input, target); }
  Tensor sum(const Tensor& input, const Tensor& target) const { return reduce(input, target, Reduction::sum); }
  // What the mean divides by: samples, elements, or the weights of the targets that are not ignored. 0-d, of input's
  // dtype and device; not recorded.
  virtual Tensor count(const Tensor& input, const Tensor& target) const = 0;
  // bool, of the target's shape: false where the target is ignored, as if the sample were not there. Undefined where
  // all count.
  virtual Tensor counted(const Tensor& /*target*/) const { return {}; }
  // What it compares the output with.
  enum class Target {
    classes,  // i64 class indices; the output has an axis of classes
    numbers,  // as many as the output has
    binary,   // numbers from 0 to 1, as many as the output has; an index of one of two classes is such a number
  };
  virtual Target wanted_target() const = 0;
  // A dataset's target as reduce() wants it: in the dtype and the shape of the output where that is no change but of
  // form, [batch] for [batch, 1].
  Tensor target_for(const Tensor& output, const Tensor& target) const;
  Reduction reduction() const { return reduction_; }
  // Moves the weights, where there are some.
  virtual void to(Device) {}

 protected:
  // Weights as a config gives them, f64; undefined where there are none.
  static Tensor weights(const std::vector<double>& values);
  static Tensor cast(const Tensor& weights, DType dtype) { return weights.defined() ? weights.to(dtype) : weights; }

 private:
  virtual Tensor reduce(const Tensor& input, const Tensor& target, Reduction reduction) const = 0;

  Reduction reduction_;
};

}  // namespace nn
}  // namespace rstorch
