#include "base/descriptor.h"

#include <cerrno>

#include <unistd.h>

namespace rstorch {

Descriptor::~Descriptor() {
  if (!is_open()) return;
  const int reason = errno;
  ::close(number_);
  errno = reason;
}

}  // namespace rstorch
