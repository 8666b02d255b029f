// Every loss that a config can name.
#pragma once

#include "config/registry.h"
#include "nn/loss.h"

namespace rstorch::nn {

using LossRegistry = config::Registry<Loss>;
const LossRegistry& losses();

}  // namespace rstorch::nn
