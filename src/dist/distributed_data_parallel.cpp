#include "dist/distributed_data_parallel.h"

#include "autograd/grad_mode.h"
#include "base/error.h"
#include "dist/distributed.h"

namespace rstorch::nn {
namespace {

std::vector<NamedTensor> trained_parameters(const Module& model) {
  std::vector<NamedTensor> out;
  for (const NamedTensor& named : model.named_parameters()) {
    if (!named.tensor.requires_grad()) continue;
    if (!dist::is_reducible(named.tensor.dtype())) {
      throw DTypeError(format("DistributedDataParallel: {} is {}, and ranks add up gradients of f32 and f64 only",
                              named.name, name_of(named.tensor.dtype())),
                       "call model.to(DType::f32) before");
    }
    out.push_back(named);
  }
  if (out.empty()) {
    throw ArgumentError("DistributedDataParallel: the model has no parameter that requires grad",
                        "a model without one needs no exchange of gradients: use it as it is");
  }
  return out;
}

// One line for each parameter and buffer, "0.weight f32 [8, 4], trained".
std::vector<std::string> describe(const Module& model) {
  std::vector<std::string> lines;
  const auto add = [&](const NamedTensor& named, std::string_view role) {
    lines.push_back(
        format("{} {} {}, {}", named.name, name_of(named.tensor.dtype()), named.tensor.shape().text(), role));
  };
  for (const NamedTensor& named : model.named_parameters())
    add(named, named.tensor.requires_grad() ? "trained" : "frozen");
  for (const NamedTensor& named : model.named_buffers()) add(named, "a buffer");
  return lines;
}

std::string first_difference(const std::string& a, const std::string& b) {
  size_t at = 0;
  while (at < std::min(a.size(), b.size()) && a[at] == b[at]) ++at;
  const auto line = [&](const std::string& text) {
    if (at >= text.size()) return std::string("nothing");
    const size_t begin = at == 0 ? 0 : text.rfind('\n', at - 1) + 1;
    return text.substr(begin, text.find('\n', begin) - begin);
  };
  return format("`{}` there, `{}` on rank 0", line(b), line(a));
}

// The same on all ranks: what they would exchange must fit.
void require_same_model(dist::ProcessGroup& group, const Module& model) {
  std::string mine;
  for (const std::string& line : describe(model)) mine += line + '\n';
  const std::vector<std::string> all = group.gather_text(mine, "parameters of the model");
  for (size_t rank = 1; rank < all.size(); ++rank) {
    if (all[rank] == all[0]) continue;
    throw DistError(format("DistributedDataParallel: rank {} has another model than rank 0: {}", rank,
                           first_difference(all[0], all[rank])),
                    "build the same model on all ranks");
  }
}

// A broadcast needs contiguous memory.
void take_over(dist::ProcessGroup& group, const Tensor& mine, std::string_view what) {
  const NoGrad no_grad;
  Tensor place = mine.detach();
  const Tensor whole = place.contiguous();
  group.broadcast(whole, what);
  if (!whole.is_same(place)) place.copy_(whole);
}

}  // namespace

DistributedDataParallel::DistributedDataParallel(std::unique_ptr<Module> model, const Options& options)
    : group_(options.process_group ? *options.process_group : distributed::default_group()),
      module_(register_module("module", std::move(model))),
      mode_(std::make_unique<Mode>()) {
  const std::vector<NamedTensor> trained = trained_parameters(*this);
  require_same_model(group_, *this);
  for (const NamedTensor& named : named_parameters()) take_over(group_, named.tensor, "parameters");
  for (const NamedTensor& named : named_buffers()) take_over(group_, named.tensor, "buffers");
  arena_ = std::make_unique<optim::ParameterArena>(std::vector<std::vector<NamedTensor>>{trained});
  reducer_ = std::make_unique<dist::Reducer>(group_, *arena_, *this, size_t(options.bucket_cap_mb) << 20);
  if (options.broadcast_buffers) {
    for (const NamedTensor& named : named_buffers()) buffers_.push_back(named.tensor);
  }
  reducer_->follow_backward([mode = mode_.get()] { return mode->exchange_pass; },
                            [arena = arena_.get(), ranks = double(group_.size())] {
                              if (ranks == 1) return;
                              for (Tensor& gradient : arena->gradients())
                                gradient.div_(Tensor::scalar(ranks, gradient.options()));
                            });
}

Tensor DistributedDataParallel::forward(const Tensor& x) {
  if (grad_enabled()) mode_->exchange_pass = mode_->exchange;
  if (is_training() && grad_enabled() && mode_->exchange) {
    for (const Tensor& buffer : buffers_) take_over(group_, buffer, "buffers");
  }
  return module_(x);
}

}  // namespace rstorch::nn
