// BatchFeeder: takes batches to the device, while that computes what was queued before.
//
//   const data::Batch batch = feeder.feed(*batches.next());   // for what is queued before the next call
//
// For a GPU a batch is copied to pinned memory, and from there by a queue of copies beside the device's own work: there
// are two places on each side, and events say when they are free and filled. The host waits only for a copy that is two
// batches old, and for the device where a batch is larger than those before. For the CPU a batch stays what it is.
#pragma once

#include <array>
#include <memory>

#include "base/stream.h"
#include "data/loader.h"

namespace rstorch {

class BatchFeeder {
 public:
  explicit BatchFeeder(Device device);

  data::Batch feed(const data::Batch& batch);

 private:
  // A tensor of batches on its way. What is smaller takes the beginning of both.
  struct Lane {
    Tensor pinned, there;
    bool has_room(const Tensor& x) const;
    void make_room(const Tensor& x, Device device);
    Tensor send(const Tensor& x, CudaStream& copies);
  };
  struct Place {
    Lane x, y;
    std::unique_ptr<DeviceEvent> filled;  // behind the copies to the device
    std::unique_ptr<DeviceEvent> used;    // behind what read it there
  };

  Device device_;
  std::unique_ptr<CudaStream> copies_;  // null on the CPU
  std::array<Place, 2> places_;
  size_t current_ = 0;
};

}  // namespace rstorch
