// A kernel: one computation by name, with an implementation per device.
//
// `kernels/cpu/NAME.cpp` defines the object with its CPU function; the CUDA module fills `cuda` when it is loaded. A null
// pointer means that there is no such kernel on that device, which is an error naming both. On the meta device a call does
// nothing. Calls go through the stream's observer, so nothing runs unseen.
#pragma once

#include <string_view>

#include "base/error.h"
#include "base/stream.h"
#include "base/view.h"

namespace rstorch {

template <class... Args>
struct Kernel {
  std::string_view name;
  void (*cpu)(CpuStream&, Args...) = nullptr;
  void (*cuda)(CudaStream&, Args...) = nullptr;

  void operator()(Stream& stream, Args... args) const {
    StreamObserver* const observer = stream.observer();
    if (observer) observer->before_launch(name);
    switch (stream.device().type) {
      case DeviceType::cpu:
        if (!cpu) missing(stream.device());
        cpu(static_cast<CpuStream&>(stream), args...);
        break;
      case DeviceType::cuda:
        if (!cuda) missing(stream.device());
        cuda(static_cast<CudaStream&>(stream), args...);
        break;
      case DeviceType::meta: break;
    }
    if (observer) observer->after_launch(name);
  }

 private:
  [[noreturn]] void missing(Device device) const {
    throw DeviceError(format("{}: there is no kernel for device {}", name, device.text()), "move the tensors to cpu");
  }
};

}  // namespace rstorch
