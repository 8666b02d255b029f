// oneDNN behind one door: its primitives as plans that are made once per shape and kept.
#pragma once

#include <functional>
#include <initializer_list>
#include <optional>
#include <vector>

#include <dnnl.hpp>

#include "base/stream.h"
#include "base/view.h"

namespace rstorch::kernels::onednn {

const dnnl::engine& engine();

// The memory of a view: its own strides.
dnnl::memory::desc description(const ConstView& view);

// A primitive that runs on buffers of fixed layouts. Where the caller's layout is not what the primitive wants, the
// plan reorders through scratch memory.
class Plan {
 public:
  struct Argument {
    int id;                     // DNNL_ARG_...
    dnnl::memory::desc given;   // the caller's layout
    dnnl::memory::desc wanted;  // the primitive's
    bool written;
  };
  Plan(dnnl::primitive primitive, const dnnl::memory::desc& scratchpad, std::vector<Argument> arguments);

  // Buffers in the order of the arguments; what goes beyond them is ignored.
  void run(const CpuStream& stream, std::initializer_list<const void*> buffers) const;

 private:
  struct Step {
    Argument argument;
    std::optional<dnnl::reorder> reorder;
  };
  dnnl::primitive primitive_;
  dnnl::memory::desc scratchpad_;
  std::vector<Step> steps_;
};

// The calling thread's plan for a key, valid until the next call; `make` is called for a new one. A key says everything
// that the plan depends on but for the number of threads.
using Key = std::vector<int64_t>;
const Plan& plan_for(Key key, const std::function<Plan()>& make);

// Attributes of every plan: scratch memory is ours, not the library's.
dnnl::primitive_attr attributes();

}  // namespace rstorch::kernels::onednn
