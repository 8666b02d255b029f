// Optimizer steps over flat arrays: one pass over memory each. The arrays are contiguous, 1-D, of one size and dtype
// (f32 or f64, on CUDA also bf16 and f16, computed in f32); the parameter arena makes a whole model such an array.
// Formulas and their order are PyTorch's.
//
// Numbers come through a pointer that is read when the kernel runs, so that a captured step sees what the host wrote
// last. On CUDA it points at device memory.
#pragma once

#include <limits>

#include "base/hd.h"
#include "kernels/kernel.h"

namespace rstorch::kernels {

struct OptimScalars {
  double lr = 0;
  double weight_decay = 0;
  double grad_scale = 1;  // gradients are multiplied by it first: 1 / loss scale; negative to maximise
  double momentum = 0;    // SGD
  double dampening = 0;   // SGD
  double beta1 = 0;       // Adam
  double beta2 = 0;       // Adam
  double eps = 0;         // Adam
  int64_t step = 1;       // number of this update, from 1
  // Where updates may be left out, as a GradScaler does; on the device of the arrays. `step` counts those too.
  const bool* leave_out = nullptr;    // true: this update changes nothing
  const int64_t* left_out = nullptr;  // how many were

  RST_HD bool is_left_out() const { return leave_out && *leave_out; }
  RST_HD int64_t update() const { return left_out ? step - *left_out : step; }
};

enum class Momentum { none, heavy_ball, nesterov };
// dw += weight_decay w; buffer = dw in step 1, later momentum buffer + (1 - dampening) dw;
// w -= lr buffer (nesterov: lr (dw + momentum buffer)). `buffer` is undefined for Momentum::none.
extern Kernel<Momentum, const OptimScalars*, ConstView /*dw*/, View /*w*/, View /*buffer*/> sgd_step;

// coupled: Adam, decay added to the gradient. decoupled: AdamW, w *= 1 - lr weight_decay.
enum class WeightDecay { coupled, decoupled };
// m = beta1 m + (1 - beta1) dw; v = beta2 v + (1 - beta2) dw^2;
// w -= lr / (1 - beta1^step) m / (sqrt(v) / sqrt(1 - beta2^step) + eps).
// AMSGrad where `max_v` is defined: max_v = max(max_v, v) takes v's place in the last line.
extern Kernel<WeightDecay, const OptimScalars*, ConstView /*dw*/, View /*w*/, View /*m*/, View /*v*/, View /*max_v*/>
    adam_step;

// out[0] (f64) = sum of x^2, accumulated in f64, in an order that does not depend on the number of threads.
extern Kernel<ConstView /*x*/, View /*out*/> squared_norm;
// norm[0] = sqrt(sum of squares); factor[0] = min(1, max_norm / (norm + 1e-6)), or 1 where norm is not finite. All f64;
// `squares` [count] has one entry per array that squared_norm went over.
extern Kernel<ConstView /*squares*/, double /*max_norm*/, View /*norm*/, View /*factor*/> clip_factor;
// x *= factor[0] (f64). Costs nothing where the factor is 1.
extern Kernel<ConstView /*factor*/, View /*x*/> scale_by;
// out[0] (bool) = no element of x is infinite or NaN.
extern Kernel<ConstView /*x*/, View /*out*/> all_finite;

// Dynamic loss scaling (Micikevicius et al. 2018), with the formulas of PyTorch's torch.amp.GradScaler. All numbers
// have one element.
//
// found (bool) becomes true where an element of x is infinite or NaN, else stays; x *= 1 / scale (f32).
extern Kernel<ConstView /*scale*/, View /*found*/, View /*x*/> unscale;
struct LossScaleRule {
  double growth_factor = 2;
  double backoff_factor = 0.5;
  int64_t growth_interval = 2000;

  RST_HD void apply(bool& found, float& scale, int32_t& growth, int64_t& left_out) const {
    if (found) {
      scale = float(scale * backoff_factor);
      growth = 0;
      ++left_out;
    } else if (++growth == growth_interval) {
      const float grown = float(scale * growth_factor);
      if (grown <= std::numeric_limits<float>::max()) scale = grown;
      growth = 0;
    }
    found = false;
  }
};
// Found: scale *= backoff_factor, growth = 0, ++left_out (i64). Else ++growth (i32), and each time that reaches
// growth_interval: scale *= growth_factor, if that is finite, and growth = 0. Then found = false.
extern Kernel<LossScaleRule, View /*found*/, View /*scale*/, View /*growth*/, View /*left_out*/> update_loss_scale;

}  // namespace rstorch::kernels
