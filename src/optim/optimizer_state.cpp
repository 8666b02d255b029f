#include "optim/optimizer_state.h"

#include <unordered_map>

#include "base/error.h"
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

// A slot without a name could not be saved, and would silently begin anew after a resume.
void require_parts(const std::vector<Part>& parts, const Optimizer::Slot& slot, std::string_view wanted) {
  if (!parts.empty() && parts.back().slot == &slot) return;
  throw ArgumentError(format("optimizer state: a tensor of shape {} that the optimizer updates is {}",
                             slot.parameter.shape().text(), wanted));
}

std::vector<Part> parts_of(Optimizer& optimizer, const std::vector<nn::NamedTensor>& parameters) {
  std::vector<Part> out;
  for_each_slot(optimizer, [&](Optimizer::Group& group, Optimizer::Slot& slot) {
    for (const auto& [name, parameter] : parameters) {
      if (slot.parameter.is_same(parameter)) out.push_back({name, &group, &slot, parameter.shape(), 0});
    }
    require_parts(out, slot, "none of the named ones");
  });
  return out;
}

// The parameters of a block whose memory the slot covers: the whole block, or a slice of it.
void add_parts(std::vector<Part>& out, Optimizer::Group& group, Optimizer::Slot& slot,
               const ParameterArena::Block& block) {
  const Tensor& flat = block.parameters;
  if (slot.parameter.impl()->storage != flat.impl()->storage) return;
  const int64_t begin = slot.parameter.offset() - flat.offset(), end = begin + slot.parameter.numel();
  for (const auto& [name, parameter, first] : block.slots) {
    const int64_t last = first + parameter.numel();
    // One without elements is where it begins; at the block's end, in the last slice.
    const bool begins = begin <= first && (first < end || end == flat.numel());
    if (begins && last <= end) {
      out.push_back({name, &group, &slot, parameter.shape(), first - begin});
    } else if (first < end && begin < last) {
      throw InternalError(format("optimizer state: {} lies in two slices of the arena, which is not supported", name));
    }
  }
}

std::vector<Part> parts_of(Optimizer& optimizer, const ParameterArena& arena) {
  std::vector<Part> out;
  for_each_slot(optimizer, [&](Optimizer::Group& group, Optimizer::Slot& slot) {
    for (const ParameterArena::Block& block : arena.blocks()) add_parts(out, group, slot, block);
    require_parts(out, slot, "no part of the arena that holds a parameter");
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

struct Steps {
  int64_t count;
  std::string_view name;  // of the parameter that it was read from
};
// The step count that each slot gets. Throws CheckpointError where its parameters were saved with different ones, as an
// optimizer of single parameters leaves them that skipped some.
std::unordered_map<Optimizer::Slot*, Steps> steps_in(const std::vector<nn::NamedTensor>& state,
                                                     const std::vector<Part>& parts) {
  std::unordered_map<std::string_view, const Tensor*> saved;
  for (const nn::NamedTensor& named : state) saved.emplace(named.name, &named.tensor);
  std::unordered_map<Optimizer::Slot*, Steps> out;
  for (const Part& part : parts) {
    const auto found = saved.find(part.name + "/step");
    if (found == saved.end() || found->second->numel() != 1) continue;  // copy_state says so
    const auto count = found->second->item<int64_t>();
    const Steps& known = out.emplace(part.slot, Steps{count, part.name}).first->second;
    if (known.count == count) continue;
    throw CheckpointError(
        format("optimizer state: {}/step is {} and {}/step is {}, but one step count is kept for both", known.name,
               known.count, part.name, count));
  }
  return out;
}

void load(const std::vector<Part>& parts, const std::vector<nn::NamedTensor>& state) {
  const auto steps = steps_in(state, parts);
  nn::copy_state(state_of(parts), state, nn::Strict::yes, "optimizer state");
  for (const auto& [slot, known] : steps) slot->steps = known.count;
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
