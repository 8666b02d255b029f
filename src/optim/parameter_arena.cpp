#include "optim/parameter_arena.h"

#include <algorithm>

#include "autograd/grad_mode.h"
#include "autograd/meta.h"
#include "base/error.h"
#include "tensor/arithmetic.h"

namespace rstorch::optim {
namespace {

constexpr int64_t kAlignment = 64;  // bytes: a cache line, and the widest vector

// The next multiple of so many lines.
int64_t aligned(int64_t elements, DType dtype, int64_t lines = 1) {
  const int64_t unit = lines * kAlignment / int64_t(size_of(dtype));
  return (elements + unit - 1) / unit * unit;
}

// The dtypes of a group, in order of appearance.
std::vector<DType> dtypes_of(const std::vector<nn::NamedTensor>& group) {
  std::vector<DType> out;
  for (const nn::NamedTensor& named : group) {
    if (std::find(out.begin(), out.end(), named.tensor.dtype()) == out.end()) out.push_back(named.tensor.dtype());
  }
  return out;
}

ParameterArena::Block make_block(const std::vector<nn::NamedTensor>& group, size_t index, DType dtype, int shares) {
  ParameterArena::Block block;
  block.group = index;
  int64_t end = 0;
  for (const auto& [name, parameter] : group) {
    if (parameter.dtype() != dtype) continue;
    if (parameter.device() != group[0].tensor.device()) {
      throw DeviceError(format("arena: {} is on {}, {} on {}", name, parameter.device().text(), group[0].name,
                               group[0].tensor.device().text()),
                        "move the whole model with to(device) first");
    }
    block.slots.push_back({name, parameter, end});
    end = aligned(end + parameter.numel(), dtype);
  }
  end = aligned(end, dtype, shares);
  const TensorOptions options{dtype, group[0].tensor.device()};
  block.parameters = Tensor::zeros({end}, options);
  block.parameters.set_requires_grad(true);
  block.gradients = Tensor::zeros({end}, options);
  return block;
}

void adopt(const ParameterArena::Block& block, const ParameterArena::Slot& slot) {
  if (autograd_meta(slot.parameter).grad_buffer.defined()) {
    throw ArgumentError(format("arena: {} is in another ParameterArena", slot.name),
                        "a model has one; DistributedDataParallel makes its own");
  }
  const Tensor place = block.parameters.part(slot.parameter.shape(), slot.offset);
  const Tensor grad_place = block.gradients.part(slot.parameter.shape(), slot.offset);
  copy_into(place, slot.parameter);
  slot.parameter.set_data(place);
  AutogradMeta& meta = autograd_meta(slot.parameter);
  meta.grad_buffer = grad_place;
  if (!meta.grad.defined()) return;
  copy_into(grad_place, meta.grad);
  meta.grad = meta.grad_buffer;
}

}  // namespace

ParameterArena::ParameterArena(const std::vector<std::vector<nn::NamedTensor>>& groups, Share share)
    : group_count_(groups.size()), share_(share) {
  const NoGrad no_grad;
  for (size_t index = 0; index < groups.size(); ++index) {
    for (const DType dtype : dtypes_of(groups[index])) {
      Block& block = blocks_.emplace_back(make_block(groups[index], index, dtype, share.count));
      for (const Slot& slot : block.slots) adopt(block, slot);
      block.own = own_share(block.parameters);
      block.own.set_requires_grad(true);
    }
  }
}

// Parameters keep their memory, but may go into another arena.
ParameterArena::~ParameterArena() {
  for (const Block& block : blocks_) {
    for (const Slot& slot : block.slots) autograd_meta(slot.parameter).grad_buffer = {};
  }
}

std::vector<std::vector<Tensor>> ParameterArena::by_group(Tensor Block::*flat) const {
  std::vector<std::vector<Tensor>> out(group_count_);
  for (const Block& block : blocks_) out[block.group].push_back(block.*flat);
  return out;
}

Tensor ParameterArena::own_share(const Tensor& flat) const {
  const int64_t length = flat.numel() / share_.count;
  return flat.alias({length}, {1}, flat.offset() + share_.index * length);
}

std::vector<Tensor> ParameterArena::gradients() const {
  std::vector<Tensor> out;
  for (const Block& block : blocks_) out.push_back(block.gradients);
  return out;
}

void ParameterArena::zero_grad() {
  for (Block& block : blocks_) {
    for (Slot& slot : block.slots) slot.parameter.zero_grad();
  }
}

void ParameterArena::collect_gradients() {
  const NoGrad no_grad;
  for (Block& block : blocks_) {
    for (const Slot& slot : block.slots) collect_gradient(slot.parameter);
    block.own.set_grad(own_share(block.gradients));
  }
}

void ParameterArena::collect_gradient(const Tensor& parameter) {
  AutogradMeta& meta = autograd_meta(parameter);
  if (meta.grad.defined() && meta.grad.is_same(meta.grad_buffer)) return;
  // No gradient, or one that somebody put there with set_grad.
  if (meta.grad.defined())
    copy_into(meta.grad_buffer, meta.grad);
  else
    meta.grad_buffer.zero_();
  meta.grad = meta.grad_buffer;
}

int64_t ParameterArena::numel() const {
  int64_t count = 0;
  for (const Block& block : blocks_) {
    for (const Slot& slot : block.slots) count += slot.parameter.numel();
  }
  return count;
}

}  // namespace rstorch::optim
