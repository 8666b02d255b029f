// Reducer: sums gradients over all ranks while the backward pass still runs.
//
//   reducer.begin();                  // before the backward pass that completes the gradients
//   loss.backward();                  // each bucket is sent as soon as its last gradient is there
//   arena.collect_gradients();        // zeros where a parameter got none
//   reducer.finish();                 // sends the rest, waits: the gradients are sums over all ranks
//
// Buckets are ranges of the flat gradients of a ParameterArena. They are sent in one order on all ranks: that in which
// a backward pass completes them, from the last parameter to the first.
#pragma once

#include <string>
#include <vector>

#include "dist/process_group.h"

namespace rstorch::dist {

class Reducer {
 public:
  struct Slot {
    std::string name;
    Tensor parameter;
    int64_t offset = 0;  // in the flat gradients, in elements; ascending
    size_t order = 0;    // its number among the parameters of the model
  };
  struct Block {
    Tensor gradients;  // 1-D
    std::vector<Slot> slots;
  };

  static constexpr size_t kBucketBytes = size_t(25) << 20;  // as PyTorch's

  // The group must outlive it, and the blocks' memory stays where it is.
  Reducer(ProcessGroup& group, const std::vector<Block>& blocks, size_t bucket_bytes = kBucketBytes);

  void begin();
  void finish();

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
