// What a model computes in: trainer.precision, on a device that has it.
//
// fp32: products as f32. tf32: products and convolutions multiply as TF32. bf16, fp16: as Autocast says, from
// parameters in f32; fp16 with a GradScaler in training. CPUs compute all of them as fp32.
#pragma once

#include "nn/module.h"
#include "train/run_config.h"

namespace rstorch {

class Arithmetic {
 public:
  // From now on what this thread queues on the device multiplies so.
  Arithmetic(Precision precision, Device device);

  // model(x); where the model computes in a lower precision its output is made f32, for loss and metrics.
  Tensor run(nn::Module& model, const Tensor& x) const;
  bool wants_loss_scaling() const { return lower_ == DType::f16; }

 private:
  DType lower_ = DType::f32;
};

}  // namespace rstorch
