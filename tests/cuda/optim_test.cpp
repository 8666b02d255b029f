// Optimizers and clipping on CUDA tensors against the same on the CPU's.
#include <doctest/doctest.h>

#include "compare.h"
#include "kernels/element.h"
#include "optim/adam.h"
#include "optim/clip.h"
#include "optim/parameter_arena.h"
#include "optim/sgd.h"
#include "tensor/generator.h"
#include "tensor/runtime.h"

using namespace rstorch;
using namespace rstorch::testing;

namespace {

constexpr DType kFloats[] = {kFloat32, kFloat64, kBFloat16, kFloat16};

// Parameters, and optimizers of a kind on both devices. The CPU has halves as f32.
template <class Kind>
class Race {
 public:
  Race(DType dtype, const typename Kind::Config& config) : dtype_(dtype) {
    const Shape shapes[] = {{3, 5}, {1}, {17, 300}, {64}};
    for (const Shape& shape : shapes) {
      const Tensor start = Tensor::randn(shape).to(dtype);
      cpu_.push_back(start.to(kernels::compute_dtype(dtype)).clone().set_requires_grad(true));
      // The second half of a larger tensor: parameters need not begin at a multiple of 16 bytes.
      const Tensor there =
          Tensor::zeros({2 * shape.numel()}, {dtype, "cuda"}).slice(0, shape.numel(), 2 * shape.numel());
      cuda_.push_back(there.reshape(shape).copy_(start.to("cuda")).set_requires_grad(true));
    }
    on_cpu_ = std::make_unique<Kind>(cpu_, config);
    on_cuda_ = std::make_unique<Kind>(cuda_, config);
  }
  void run(int steps, const std::string& what) {
    for (int step = 1; step <= steps; ++step) {
      for (size_t i = 0; i < cpu_.size(); ++i) {
        if (i == 1 && step == 2) {
          cpu_[i].set_grad({}), cuda_[i].set_grad({});  // skipped, and has a step count of its own from now on
          continue;
        }
        const Tensor gradient = Tensor::randn(cpu_[i].shape()).to(dtype_);
        cpu_[i].set_grad(gradient.to(cpu_[i].dtype()));
        cuda_[i].set_grad(gradient.to("cuda"));
      }
      for (optim::Optimizer* optimizer : {on_cpu_.get(), on_cuda_.get()}) {
        optimizer->set_lr(0.01 * step);
        optimizer->step();
      }
      for (size_t i = 0; i < cpu_.size(); ++i) {
        check_close(cuda_[i].detach(), cpu_[i].detach().to(dtype_),
                    format("{} {}, step {}, parameter {}", what, name_of(dtype_), step, i));
      }
    }
  }

 private:
  DType dtype_;
  std::vector<Tensor> cpu_, cuda_;
  std::unique_ptr<optim::Optimizer> on_cpu_, on_cuda_;
};

// Ten steps; of halves one, before rounding of state and weights makes them different.
template <class Kind>
void race(const typename Kind::Config& config, const std::string& what) {
  manual_seed(1);
  for (const DType dtype : kFloats) {
    Race<Kind>(dtype, config).run(dtype == kernels::compute_dtype(dtype) ? 10 : 1, what);
  }
}

}  // namespace

TEST_CASE("ten steps of each optimizer on cuda are the CPU's") {
  race<optim::SGD>({}, "SGD");
  race<optim::SGD>({.momentum = 0.9, .dampening = 0.5, .weight_decay = 0.01, .maximize = true}, "SGD with momentum");
  race<optim::SGD>({.momentum = 0.9, .weight_decay = 0.01, .nesterov = true}, "SGD, Nesterov");
  race<optim::Adam>({.weight_decay = 0.1}, "Adam");
  race<optim::Adam>({.amsgrad = true}, "AMSGrad");
  race<optim::AdamW>({.weight_decay = 0.1}, "AdamW");
}

TEST_CASE("clipping and checks of gradients on cuda are the CPU's") {
  manual_seed(2);
  for (const DType dtype : {kFloat32, kFloat64}) {
    const std::vector<Tensor> gradients = {Tensor::randn({300, 41}).to(dtype), Tensor::randn({1}).to(dtype),
                                           Tensor::randn({9}).to(dtype)};
    for (const double norm_type : {2.0, 1.0, double(INFINITY)}) {
      for (const double max_norm : {0.5, 1e6}) {
        std::vector<Tensor> cpu, cuda;
        for (const Tensor& x : gradients) {
          cpu.push_back(x.clone());
          cuda.push_back(x.to("cuda"));
        }
        const std::string what = format("norm {} to {}", norm_type, max_norm);
        check_close(optim::clip_norm(cuda, max_norm, norm_type), optim::clip_norm(cpu, max_norm, norm_type), what);
        for (size_t i = 0; i < cpu.size(); ++i) check_close(cuda[i], cpu[i], what);
        optim::clip_value(cpu, 0.1);
        optim::clip_value(cuda, 0.1);
        for (size_t i = 0; i < cpu.size(); ++i) check_close(cuda[i], cpu[i], "clip_value");
      }
    }
    for (const double bad : {double(INFINITY), -double(INFINITY), std::nan("")}) {
      std::vector<Tensor> cuda = {gradients[0].to("cuda"), gradients[1].to("cuda")};
      CHECK(optim::all_finite(cuda).to("cpu").item<bool>());
      cuda[0].flatten().slice(0, 7000, 7001).fill_(bad);
      CHECK(!optim::all_finite(cuda).to("cpu").item<bool>());
      const Tensor before = cuda[0].clone();
      CHECK(!std::isfinite(optim::clip_norm(cuda, 0.5).item()));
      check_close(cuda[0], before.to("cpu"), "gradients without a norm are left alone");
    }
  }
}
