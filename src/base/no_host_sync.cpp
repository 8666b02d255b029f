#include "base/no_host_sync.h"

#include "base/error.h"
#include "base/last_op.h"
#include "base/stream.h"

namespace rstorch {

NoHostSync::NoHostSync(Stream& stream, Action action) : stream_(stream), outer_(stream.no_host_sync_), action_(action) {
  stream.no_host_sync_ = this;
}

NoHostSync::~NoHostSync() { stream_.no_host_sync_ = outer_; }

void NoHostSync::found(Device device, std::string_view what) {
  const std::string text =
      format("{}: {} {} inside a step that the host takes no part in", last_op, what, device.text());
  if (action_ == Action::refuse) throw DeviceError(text, "read values after the step, and make tensors before it");
  if (noted_.empty()) noted_ = text;
}

}  // namespace rstorch
