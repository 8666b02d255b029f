// DistributedDataParallel: one model on many ranks, each with its own samples. PyTorch's meaning:
// https://pytorch.org/docs/stable/generated/torch.nn.parallel.DistributedDataParallel.html
//
//   distributed::init_process_group();
//   nn::DistributedDataParallel model(Net{});
//   optim::SGD sgd(model.parameters(), {.lr = 0.1});
//   loss(model(x), y).backward();      // gradients are means over all ranks when it returns
//   sgd.step();                        // so each rank makes the same update
//
// Weights and buffers are rank 0's from the start. Gradients are exchanged in buckets while the backward pass goes on.
// They are the mean of the ranks' gradients: of losses that are means over as many samples on each rank, the gradient
// of the mean over all. A parameter that a rank left out has a gradient of zeros there (find_unused_parameters is not
// needed); where all left it out it has zeros too, which weight decay and momentum take for a gradient.
#pragma once

#include <concepts>
#include <memory>

#include "dist/reducer.h"
#include "nn/module.h"

namespace rstorch::nn {

class DistributedDataParallel final : public Module {
 public:
  struct Options {
    dist::ProcessGroup* process_group = nullptr;  // null: distributed::default_group(). It must outlive the model
    int bucket_cap_mb = 25;
    bool broadcast_buffers = true;  // rank 0's go to all before each forward pass in training
  };

  // Names of parameters are the model's after "module.". The model is on its device, with its dtype, and has the same
  // parameters on all ranks. Throws ArgumentError for one that has nothing to train, DTypeError for gradients that
  // ranks cannot add up (f16, bf16), DistError naming the rank whose model differs.
  DistributedDataParallel(std::unique_ptr<Module> model, const Options& options);
  explicit DistributedDataParallel(std::unique_ptr<Module> model)
      : DistributedDataParallel(std::move(model), Options()) {}
  template <std::derived_from<Module> M>
  DistributedDataParallel(M model, const Options& options)
      : DistributedDataParallel(std::unique_ptr<Module>(std::make_unique<M>(std::move(model))), options) {}
  template <std::derived_from<Module> M>
  explicit DistributedDataParallel(M model) : DistributedDataParallel(std::move(model), Options()) {}

  Tensor forward(const Tensor& x) override;
  Module& module() { return module_; }

  // While it lives, forward passes are for gradients that only add up on this rank; those of the first backward pass
  // after it are exchanged with the sum.
  //
  //   { const auto no_sync = model.no_sync(); loss(model(x), y).backward(); }
  class NoSync {
   public:
    explicit NoSync(bool& exchange) : exchange_(exchange), before_(exchange) { exchange = false; }
    ~NoSync() { exchange_ = before_; }
    NoSync(const NoSync&) = delete;
    NoSync& operator=(const NoSync&) = delete;

   private:
    bool& exchange_;
    bool before_;
  };
  [[nodiscard]] NoSync no_sync() { return NoSync(mode_->exchange); }

  // How long the exchange of the last backward pass took, and how much of that the pass waited.
  const dist::Reducer::Times& times() const { return reducer_->times(); }

 private:
  struct Mode {
    bool exchange = true;       // not within no_sync()
    bool exchange_pass = true;  // as it was in the last forward pass
  };

  dist::ProcessGroup& group_;
  Module& module_;
  std::unique_ptr<Mode> mode_;  // stays where it is when the model moves
  std::unique_ptr<optim::ParameterArena> arena_;
  std::unique_ptr<dist::Reducer> reducer_;
  std::vector<Tensor> buffers_;  // to broadcast
};

// Another name of it. PyTorch's DataParallel, threads of one process with a device each, is not built: there, too,
// PyTorch's advice is the class above.
using DataParallel = DistributedDataParallel;

}  // namespace rstorch::nn
