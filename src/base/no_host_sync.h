// NoHostSync: while one lives, whatever makes the host wait for a device, or read or write its memory, is found.
//
//   const NoHostSync watched(stream);   // a captured step: it is recorded once, and the host takes no part in it later
//   stream.synchronize();               // DeviceError, naming the operation
//
// It watches one stream, that of a device and a thread. Where there is one already, the inner one is told.
#pragma once

#include <string>
#include <string_view>

#include "base/device.h"

namespace rstorch {

class Stream;

class NoHostSync {
 public:
  enum class Action { refuse, note };
  explicit NoHostSync(Stream& stream, Action action = Action::refuse);
  ~NoHostSync();
  NoHostSync(const NoHostSync&) = delete;
  NoHostSync& operator=(const NoHostSync&) = delete;

  // What was found first, where it is noted; empty: nothing.
  const std::string& noted() const { return noted_; }
  // The stream tells: "waits for", "copies between the host and".
  void found(Device device, std::string_view what);

 private:
  Stream& stream_;
  NoHostSync* outer_;
  Action action_;
  std::string noted_;
};

}  // namespace rstorch
