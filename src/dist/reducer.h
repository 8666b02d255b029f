// Reducer: sums gradients over all ranks while the backward pass still runs.
//
//   reducer.begin();                  // before the backward pass that completes the gradients
//   loss.backward();                  // each bucket is sent as soon as its last gradient is there
//   arena.collect_gradients();        // zeros where a parameter got none
//   reducer.finish();                 // sends the rest, waits: the gradients are sums over all ranks
//
// or, with follow_backward(), in every backward pass by itself.
//
// Buckets are ranges of the flat gradients of a ParameterArena. They are sent in one order on all ranks: that in which
// a backward pass completes them, from the last parameter to the first.
#pragma once

#include <functional>
#include <memory>

#include "dist/process_group.h"
#include "optim/parameter_arena.h"

namespace rstorch::dist {

class Reducer {
 public:
  static constexpr size_t kBucketBytes = size_t(25) << 20;  // as PyTorch's

  // Of the model's parameters, which the arena holds. Group and arena must outlive it. Buckets are no larger than
  // bucket_bytes, and no larger than an eighth of all gradients, so that those of small models go out early too; a
  // megabyte is never cut for that.
  Reducer(ProcessGroup& group, optim::ParameterArena& arena, const nn::Module& model,
          size_t bucket_bytes = kBucketBytes);

  void begin();
  void finish();

  // From now on a backward pass that reaches a parameter begins when it does so, if `wanted` says yes then; at its end
  // gradients are collected and summed, and `summed` is called. All ranks run the same passes.
  void follow_backward(std::function<bool()> wanted, std::function<void()> summed);

  size_t bucket_count() const;
  // Of the last step: from the first bucket's start to the last one's end, and how long finish() waited of that.
  struct Times {
    double communication = 0;  // seconds
    double exposed = 0;
  };
  const Times& times() const;

 private:
  struct State;
  std::shared_ptr<State> state_;  // hooks of the parameters hold it weakly
};

}  // namespace rstorch::dist
