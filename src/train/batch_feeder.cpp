#include "train/batch_feeder.h"

#include "dist/staging.h"
#include "tensor/arithmetic.h"
#include "tensor/runtime.h"

namespace rstorch {
namespace {

Tensor beginning(const Tensor& x, int64_t rows) {
  Shape shape = x.shape();
  shape[0] = rows;
  return x.alias(shape, x.strides(), x.offset());
}

}  // namespace

bool BatchFeeder::Lane::has_room(const Tensor& x) const {
  if (!there.defined() || there.dtype() != x.dtype() || there.dim() != x.dim()) return false;
  return there.size(0) >= x.size(0) && beginning(there, x.size(0)).shape() == x.shape();
}

void BatchFeeder::Lane::make_room(const Tensor& x, Device device) {
  there = Tensor::empty(x.shape(), {x.dtype(), device});
  pinned = dist::room_on_host(there);
}

Tensor BatchFeeder::Lane::send(const Tensor& x, CudaStream& copies) {
  const Tensor from = beginning(pinned, x.size(0)), to = beginning(there, x.size(0));
  copy_into(from, x);
  copies.copy_bytes(to.raw_data(), from.raw_data(), x.bytes());
  return to;
}

BatchFeeder::BatchFeeder(Device device)
    : device_(device), copies_(device.is_cuda() ? cuda::make_copy_stream(device.index) : nullptr) {}

data::Batch BatchFeeder::feed(const data::Batch& batch) {
  if (!copies_) return batch;
  auto& compute = static_cast<CudaStream&>(current_stream(device_));
  places_[current_].used = compute.mark();
  current_ = 1 - current_;
  Place& place = places_[current_];
  if (!place.x.has_room(batch.x) || !place.y.has_room(batch.y)) {
    place.x.make_room(batch.x, device_);
    place.y.make_room(batch.y, device_);
    compute.synchronize();  // whoever gave that memory back, on any thread, may have left work that still reads it
  }
  if (place.filled) place.filled->wait();
  if (place.used) copies_->wait_for(*place.used);
  data::Batch out = batch;
  out.x = place.x.send(batch.x, *copies_);
  out.y = place.y.send(batch.y, *copies_);
  place.filled = copies_->mark();
  compute.wait_for(*place.filled);
  return out;
}

}  // namespace rstorch
