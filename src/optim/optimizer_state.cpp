#include "optim/optimizer_state.h"

#include "nn/state_dict.h"

namespace rstorch::optim {
namespace {

// A parameter as the optimizer holds it: a slot, or a part of one.
struct Part {
  std::string name;
  Optimizer::Group* group;
  Optimizer::Slot* slot;
  Shape shape;
  int64_t offset;  // in the slot's tensors, in elements
};

template <class F>
void for_each_slot(Optimizer& optimizer, F&& f) {
  for (Optimizer::Group& group : optimizer.groups_with_state()) {
    for (Optimizer::Slot& slot : group.slots) f(group, slot);
  }
}

std::vector<Part> parts_of(Optimizer& optimizer, const std::vector<nn::NamedTensor>& parameters) {
  std::vector<Part> out;
  for_each_slot(optimizer, [&](Optimizer::Group& group, Optimizer::Slot& slot) {
    for (const auto& [name, parameter] : parameters) {
      if (slot.parameter.is_same(parameter)) out.push_back({name, &group, &slot, parameter.shape(), 0});
    }
  });
  return out;
}

std::vector<Part> parts_of(Optimizer& optimizer, const ParameterArena& arena) {
  std::vector<Part> out;
  for_each_slot(optimizer, [&](Optimizer::Group& group, Optimizer::Slot& slot) {
    for (const ParameterArena::Block& block : arena.blocks()) {
      if (!slot.parameter.is_same(block.parameters)) continue;
      for (const auto& [name, parameter, offset] : block.slots) {
        out.push_back({name, &group, &slot, parameter.shape(), offset});
      }
    }
  });
  return out;
}

std::vector<nn::NamedTensor> state_of(const std::vector<Part>& parts) {
  std::vector<nn::NamedTensor> out;
  for (const Part& part : parts) {
    for (size_t i = 0; i < part.slot->state.size(); ++i) {
      const Tensor state = part.slot->state[i].alias(part.shape, contiguous_strides(part.shape), part.offset);
      out.push_back({format("{}/{}", part.name, part.group->state_names[i]), state});
    }
    out.push_back({part.name + "/step", Tensor::scalar(part.slot->steps, {DType::i64})});
  }
  return out;
}

void load(const std::vector<Part>& parts, const std::vector<nn::NamedTensor>& state) {
  const std::vector<nn::NamedTensor> targets = state_of(parts);
  nn::copy_state(targets, state, nn::Strict::yes, "optimizer state");
  for (const Part& part : parts) {
    for (const auto& [name, tensor] : targets) {
      if (name == part.name + "/step") part.slot->steps = tensor.item<int64_t>();
    }
  }
}

}  // namespace

std::vector<nn::NamedTensor> named_state(Optimizer& optimizer, const std::vector<nn::NamedTensor>& parameters) {
  return state_of(parts_of(optimizer, parameters));
}

std::vector<nn::NamedTensor> named_state(Optimizer& optimizer, const ParameterArena& arena) {
  return state_of(parts_of(optimizer, arena));
}

void load_named_state(Optimizer& optimizer, const std::vector<nn::NamedTensor>& parameters,
                      const std::vector<nn::NamedTensor>& state) {
  load(parts_of(optimizer, parameters), state);
}

void load_named_state(Optimizer& optimizer, const ParameterArena& arena, const std::vector<nn::NamedTensor>& state) {
  load(parts_of(optimizer, arena), state);
}

}  // namespace rstorch::optim
