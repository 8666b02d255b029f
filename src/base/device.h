// Where a tensor lives. `meta` has shapes and no memory: ops on it compute shapes only.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace rstorch {

enum class DeviceType : uint8_t { cpu, cuda, meta };

struct Device {
  DeviceType type = DeviceType::cpu;
  int index = 0;  // always 0 for cpu and meta

  constexpr Device() = default;
  constexpr Device(DeviceType type, int index = 0) : type(type), index(index) {}
  // "cpu", "cuda", "cuda:1", "meta". Throws DeviceError for anything else.
  Device(std::string_view text);  // NOLINT: implicit, so that x.to("cuda") reads as in PyTorch
  Device(const char* text) : Device(std::string_view(text)) {}

  constexpr bool operator==(const Device&) const = default;
  constexpr bool is_cpu() const { return type == DeviceType::cpu; }
  constexpr bool is_cuda() const { return type == DeviceType::cuda; }
  constexpr bool is_meta() const { return type == DeviceType::meta; }
  std::string text() const;
};

inline constexpr Device kCPU{DeviceType::cpu};
inline constexpr Device kMeta{DeviceType::meta};

}  // namespace rstorch
