// Exponential moving average of an arena's parameters.
//
//   average.update();                                                  // after each of the optimizer's steps
//   const auto found = average.in_place([&] { return score(model); });  // the model computes with the averages
//
// As torch.optim.swa_utils.AveragedModel with get_ema_multi_avg_fn(decay): the first update copies, later ones are
// lerp(average, parameter, 1 - decay). Buffers are not averaged.
#pragma once

#include <string_view>
#include <vector>

#include "optim/parameter_arena.h"

namespace rstorch::optim {

class ExponentialMovingAverage {
 public:
  // Memory for all averages is taken here. The arena must outlive it. Throws ArgumentError for a decay outside [0, 1].
  ExponentialMovingAverage(const ParameterArena& arena, double decay);

  void update();
  bool has_begun() const { return has_begun_; }

  // What f() returns while the parameters are the averages; before the first update, they are themselves. To be called
  // between steps: the arena's gradients are written over.
  template <class F>
  auto in_place(F&& f) {
    swap();
    auto found = [&] {
      try {
        return f();
      } catch (...) {
        swap();
        throw;
      }
    }();
    swap();
    return found;
  }

  // "ema/" and a parameter's name; they share memory with the averages. Nothing before the first update.
  std::vector<nn::NamedTensor> state() const;
  static constexpr std::string_view kPrefix = "ema/";
  static bool is_state(std::string_view name) { return name.starts_with(kPrefix); }
  // Other names are not looked at. Without any of its own it begins anew. Throws CheckpointError where some are missing
  // or have other shapes.
  void load_state(const std::vector<nn::NamedTensor>& state);
  // For ranks, which take them over from one: a tensor for each block of the arena, and whether they hold averages.
  const std::vector<Tensor>& averages() const { return averages_; }
  void set_begun(bool has_begun) { has_begun_ = has_begun; }

 private:
  void swap();

  const ParameterArena* arena_;
  double decay_;
  std::vector<Tensor> averages_;  // as the blocks' parameters
  bool has_begun_ = false;
};

}  // namespace rstorch::optim
