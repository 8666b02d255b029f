// Scaled dot-product attention: softmax(scale query key^T + mask) value, without a matrix of scores in memory (Rabe &
// Staats 2021; Dao et al. 2022). f32, f64; on CUDA also bf16 and f16, computed in f32.
#pragma once

#include "base/random_key.h"
#include "kernels/kernel.h"

namespace rstorch::kernels {

// What both passes read. Views have any strides but that features are neighbours.
struct Attention {
  ConstView query;  // [batch, heads, length, features]
  ConstView key;    // [batch, heads, keys, features]
  ConstView value;  // [batch, heads, keys, value_features]
  // [batch, heads, length, keys], of any strides, or undefined: bool, true where a key takes part, or numbers of the
  // query's dtype that are added to the scores.
  ConstView mask;
  bool is_causal = false;  // query i sees the keys up to i
  double scale = 1;
  // Of the probabilities. That of (b, h, i, j) is kept where the uniform number random.first + ((b heads + h) length +
  // i) keys + j of the stream is at least dropout_p, and is then divided by 1 - dropout_p.
  double dropout_p = 0;
  RandomKey random;
};

// y [batch, heads, length, value_features], of any strides but that features are neighbours. log_sums [batch, heads,
// length], contiguous, in what the dtype is computed in: the logarithm of the sum of a query's exponentials. A query
// that sees no key gets zeros, and infinity as its log-sum.
extern Kernel<Attention, View /*y*/, View /*log_sums*/> attention;
// The gradients have the shapes of query, key and value and strides like y's; any of them may be undefined.
extern Kernel<Attention, ConstView /*dy*/, ConstView /*y*/, ConstView /*log_sums*/, View /*dquery*/, View /*dkey*/,
              View /*dvalue*/>
    attention_backward;

}  // namespace rstorch::kernels
