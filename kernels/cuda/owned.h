// Handles of NVIDIA's libraries that give themselves back.
#pragma once

#include <memory>
#include <type_traits>

namespace rstorch::kernels {

template <auto Destroy>
struct Deleter {
  template <class T>
  void operator()(T* handle) const {
    Destroy(handle);
  }
};
// Handle is a pointer type; Destroy is called with it.
template <class Handle, auto Destroy>
using Owned = std::unique_ptr<std::remove_pointer_t<Handle>, Deleter<Destroy>>;

}  // namespace rstorch::kernels
