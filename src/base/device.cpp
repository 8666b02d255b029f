#include "base/device.h"

#include <charconv>

#include "base/error.h"

namespace rstorch {

Device::Device(std::string_view text) {
  const std::string_view name = text.substr(0, text.find(':'));
  if (name == "cpu" && name == text) return;
  if (name == "meta" && name == text) {
    type = DeviceType::meta;
    return;
  }
  if (name == "cuda") {
    type = DeviceType::cuda;
    if (name == text) return;
    const std::string_view number = text.substr(name.size() + 1);
    const auto [end, status] = std::from_chars(number.data(), number.data() + number.size(), index);
    if (status == std::errc() && end == number.data() + number.size() && index >= 0) return;
  }
  throw DeviceError(format("no such device: '{}'", text), "write cpu, cuda, cuda:N or meta");
}

std::string Device::text() const {
  switch (type) {
    case DeviceType::cpu: return "cpu";
    case DeviceType::meta: return "meta";
    case DeviceType::cuda: return format("cuda:{}", index);
  }
  return "?";
}

}  // namespace rstorch
