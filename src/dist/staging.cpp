#include "dist/staging.h"

#include "tensor/runtime.h"

namespace rstorch::dist {
namespace {

class StagedWork final : public Work {
 public:
  StagedWork(WorkPtr work, const Tensor& host, const Tensor& x) : work_(std::move(work)), host_(host), x_(x) {}

  bool done() override {
    if (work_ && work_->done()) finish();
    return !work_;
  }
  void wait() override {
    if (!work_) return;
    work_->wait();
    finish();
  }

 private:
  // The copy is in the device's order of work, so nobody need wait for it.
  void finish() {
    current_stream(x_.device()).copy_bytes(x_.raw_data(), host_.raw_data(), x_.bytes());
    work_.reset();
    host_ = {};
  }

  WorkPtr work_;
  Tensor host_, x_;
};

}  // namespace

Tensor room_on_host(const Tensor& x) {
  if (x.device().is_cpu()) return x;
  Allocator& pinned = cuda::pinned_memory(x.device().index);
  const size_t bytes = x.bytes();
  const std::shared_ptr<void> memory(pinned.allocate(bytes), [&pinned, bytes](void* p) { pinned.release(p, bytes); });
  return Tensor::wrap(memory.get(), x.shape(), x.dtype(), memory);
}

// Copies that still read what the allocator hands out again are over once the device is waited for.
Tensor on_host(const Tensor& x) {
  if (x.device().is_cpu()) return x;
  const Tensor host = room_on_host(x);
  Stream& stream = current_stream(x.device());
  stream.copy_bytes(host.raw_data(), x.raw_data(), x.bytes());
  stream.synchronize();
  return host;
}

WorkPtr back_to_device(WorkPtr work, const Tensor& host, const Tensor& x) {
  if (x.device().is_cpu()) return work;
  return std::make_unique<StagedWork>(std::move(work), host, x);
}

}  // namespace rstorch::dist
