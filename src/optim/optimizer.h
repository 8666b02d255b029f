// Optimizer: changes parameters by their gradients. PyTorch's shape.
//
//   optim::SGD sgd(model.parameters(), {.lr = 1e-2, .momentum = 0.9});
//   loss.backward();
//   sgd.step();
//   sgd.zero_grad();
//
// It works the same on parameters and on the flat tensors of a ParameterArena. A parameter without a gradient is
// skipped and its step count stands still, as in PyTorch. step() never waits for the device.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "kernels/optim.h"
#include "tensor/tensor.h"

namespace rstorch::optim {

class Optimizer {
 public:
  // What an optimizer knows of one parameter.
  struct Slot {
    Tensor parameter;
    std::vector<Tensor> state;  // by the group's state_names; made at the first step
    int64_t steps = 0;          // updates so far
  };
  // Parameters that share settings.
  struct Group {
    std::vector<Slot> slots;
    kernels::OptimScalars settings;  // lr as given: the schedule's rate is scaled by its ratio to the first group's
    std::vector<std::string_view> state_names;
    // One update of w (1-D) by dw; state in the order of the names.
    std::function<void(Stream&, const kernels::OptimScalars*, ConstView dw, View w, std::span<const View> state)>
        update;
  };

  virtual ~Optimizer() = default;
  Optimizer(Optimizer&&) = default;

  void step() {
    prepare_step();
    update();
  }
  // The two halves of a step, for one that is captured: what the host does and copies to the device, of the parameters
  // that have a gradient by then; and what is queued to the device, the same each time.
  void prepare_step();
  void update();
  void zero_grad();

  // The rate of the first group; set_lr keeps the ratios of the others to it.
  double lr() const { return lr_; }
  void set_lr(double lr) { lr_ = lr; }
  double lr_of(const Group& group) const;
  // Gradients are multiplied by it: 1 / loss scale, or 1 / count where losses were summed.
  void set_grad_scale(double scale) { grad_scale_ = scale; }
  // On the device of the parameters: step() changes nothing where `leave_out` (bool) is true when its kernels run.
  // `left_out` (i64) is how many of the steps that are counted were, since take_back_steps(); see GradScaler.
  void set_leave_out(const Tensor& leave_out, const Tensor& left_out);
  const Tensor& leave_out() const { return leave_out_; }
  // Of every parameter that was updated.
  void take_back_steps(int64_t count);
  // Those that step() would go by now.
  std::vector<Tensor> gradients() const;

  const std::vector<Group>& groups() const { return groups_; }
  std::vector<Group>& groups() { return groups_; }
  // For checkpoints: makes the state of all slots (zeros) where there is none yet.
  std::vector<Group>& groups_with_state();
  // Takes over the groups of another optimizer of the same kind, with their settings.
  void add_groups(Optimizer&& other);

 protected:
  Optimizer() = default;
  // Throws ArgumentError for a parameter that does not require grad, is no leaf, or is in a group already.
  void add_group(const std::vector<Tensor>& parameters, Group group);

 private:
  // What prepare_step() leaves to update().
  struct Update {
    const Group* group;
    const Slot* slot;
  };
  // Copies scalars_ to where the kernels can read them: one copy per step. CUDA has copied from ordinary memory
  // before the call returns, without waiting for the device, so the next step may overwrite scalars_.
  void send_scalars(Device device);

  std::vector<Group> groups_;
  double lr_ = 0;
  double grad_scale_ = 1;
  Tensor leave_out_, left_out_;
  std::vector<Update> updates_;
  std::vector<kernels::OptimScalars> scalars_;  // one per update
  Tensor device_scalars_;                       // their copy where the parameters are not on the CPU
};

}  // namespace rstorch::optim
