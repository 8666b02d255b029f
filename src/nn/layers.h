// Every layer that a config can name. A new one is its header and two lines here.
#pragma once

#include "nn/activation.h"
#include "nn/batch_norm.h"
#include "nn/conv2d.h"
#include "nn/dropout.h"
#include "nn/flatten.h"
#include "nn/layer.h"
#include "nn/layer_norm.h"
#include "nn/leaky_relu.h"
#include "nn/linear.h"
#include "nn/pooling.h"

namespace rstorch::nn {

template <class... Layers>
struct LayerList {};

// clang-format off
// Sorted by name. Residual and Sequential, which hold layers, are read by the builder itself.
using AllLayers = LayerList<
    AdaptiveAvgPool2d,
    AvgPool2d,
    BatchNorm1d,
    BatchNorm2d,
    Conv2d,
    Dropout,
    Flatten,
    GELU,
    Identity,
    LayerNorm,
    LeakyReLU,
    Linear,
    LogSoftmax,
    MaxPool2d,
    ReLU,
    SiLU,
    Sigmoid,
    Softmax,
    Tanh>;
// clang-format on

const LayerRegistry& layers();

}  // namespace rstorch::nn
