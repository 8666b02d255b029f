// What others may ask of a backward pass.
#pragma once

#include <functional>

namespace rstorch {

// Calls f once, when the backward pass that runs on this thread has written all gradients; a pass that throws forgets
// it. For gradient hooks: a hook sees one gradient, f sees them all. Throws AutogradError where no pass runs.
void at_end_of_backward(std::function<void()> f);

}  // namespace rstorch
