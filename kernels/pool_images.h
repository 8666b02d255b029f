// How pooling sees both layouts as one.
#pragma once

#include "base/view.h"

namespace rstorch::kernels {

// Images as [images, h, w, channels] in memory. Channels-last is that; a contiguous tensor is it too, with every plane
// an image of one channel.
struct Images {
  int64_t count, h, w, channels;

  // `other` is the other side of the pooling: 1 x 1 images lie the same way in both layouts, so both sides decide.
  Images(const ConstView& x, const ConstView& other)
      : count(x.size(0)), h(x.size(2)), w(x.size(3)), channels(x.size(1)) {
    if (!x.contiguous() || !other.contiguous()) return;
    count *= channels;
    channels = 1;
  }
  int64_t size() const { return h * w * channels; }
};

}  // namespace rstorch::kernels
