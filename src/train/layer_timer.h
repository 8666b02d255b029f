// Times of each layer's forward and backward pass, by hooks on the modules and on their outputs' gradients.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "nn/module.h"
#include "train/progress.h"

namespace rstorch {

class LayerTimer {
 public:
  // Adds hooks to every module without children. The module must outlive the timer, and is not to run after it.
  LayerTimer(nn::Module& model, Device device);
  LayerTimer(const LayerTimer&) = delete;
  LayerTimer& operator=(const LayerTimer&) = delete;

  // To be called after the backward pass of a step.
  void end_step();

  struct Times {
    std::vector<double> forward;  // seconds, by step
    std::vector<double> backward;
  };
  const std::map<std::string, Times>& times() const { return times_; }

 private:
  struct Event {
    std::string path;
    Clock::time_point time;
  };
  Clock::time_point now() const;  // when the work so far is done

  Device device_;
  Clock::time_point forward_begin_;
  std::vector<Event> backward_events_;     // a layer's backward pass goes from its event to the next one
  std::map<std::string, double> forward_;  // this step; a layer may run more than once
  std::map<std::string, Times> times_;
};

}  // namespace rstorch
