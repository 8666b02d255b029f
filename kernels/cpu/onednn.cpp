#include "kernels/cpu/onednn.h"

#include <map>

#include <omp.h>

#include "kernels/cpu/scratch.h"

namespace rstorch::kernels::onednn {
namespace {

// Executes on the calling thread and the OpenMP pool; everything has run when a call returns.
dnnl::stream& stream() {
  thread_local dnnl::stream stream(engine());
  return stream;
}

}  // namespace

const dnnl::engine& engine() {
  static const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

dnnl::memory::desc description(const ConstView& view) {
  return {view.shape.vector(), dnnl::memory::data_type::f32, view.strides.vector()};
}

dnnl::primitive_attr attributes() {
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  return attributes;
}

Plan::Plan(dnnl::primitive primitive, const dnnl::memory::desc& scratchpad, std::vector<Argument> arguments)
    : primitive_(std::move(primitive)), scratchpad_(scratchpad) {
  for (Argument& argument : arguments) {
    std::optional<dnnl::reorder> reorder;
    if (argument.given != argument.wanted) {
      const dnnl::memory::desc& from = argument.written ? argument.wanted : argument.given;
      const dnnl::memory::desc& to = argument.written ? argument.given : argument.wanted;
      reorder = dnnl::reorder(dnnl::reorder::primitive_desc(engine(), from, engine(), to));
    }
    steps_.push_back({std::move(argument), std::move(reorder)});
  }
}

void Plan::run(const CpuStream& cpu_stream, std::initializer_list<const void*> buffers) const {
  std::vector<std::unique_ptr<Scratch<char>>> copies;
  std::vector<dnnl::memory> given, wanted;
  std::unordered_map<int, dnnl::memory> bound;
  for (size_t i = 0; i < steps_.size(); ++i) {
    const auto& [argument, reorder] = steps_[i];
    given.emplace_back(argument.given, engine(), const_cast<void*>(buffers.begin()[i]));
    if (reorder) {
      copies.push_back(std::make_unique<Scratch<char>>(cpu_stream, int64_t(argument.wanted.get_size())));
      wanted.emplace_back(argument.wanted, engine(), copies.back()->data());
      if (!argument.written) reorder->execute(stream(), given[i], wanted[i]);
    } else {
      wanted.push_back(given[i]);
    }
    bound.emplace(argument.id, wanted[i]);
  }
  const Scratch<char> scratchpad(cpu_stream, int64_t(scratchpad_.get_size()));
  bound.emplace(DNNL_ARG_SCRATCHPAD, dnnl::memory(scratchpad_, engine(), scratchpad.data()));
  primitive_.execute(stream(), bound);
  for (size_t i = 0; i < steps_.size(); ++i) {
    if (steps_[i].reorder && steps_[i].argument.written) steps_[i].reorder->execute(stream(), wanted[i], given[i]);
  }
}

const Plan& plan_for(Key key, const std::function<Plan()>& make) {
  constexpr size_t kMostPlans = 1024;  // inputs of ever new sizes must not fill the memory
  thread_local std::map<Key, Plan> plans;
  key.push_back(omp_get_max_threads());  // some primitives lay out their scratch memory by it
  const auto found = plans.find(key);
  if (found != plans.end()) return found->second;
  if (plans.size() >= kMostPlans) plans.clear();
  return plans.emplace(std::move(key), make()).first->second;
}

}  // namespace rstorch::kernels::onednn
