// Every operation on tensors, with PyTorch's names and meaning unless a line says otherwise.
//
// All are recorded by autograd where an input requires grad, except those with integer or boolean results. Shapes broadcast as
// NumPy's; dtypes promote as PyTorch's. Dimensions may be negative. Errors: ShapeError, DTypeError, DeviceError, ArgumentError.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "base/random_key.h"
#include "ops/batch_peers.h"
#include "ops/elementwise.h"
#include "kernels/options.h"  // Reduction: none, mean, sum
#include "tensor/tensor.h"

namespace rstorch {

// --- Unary ------------------------------------------------------------------------------------------------------------
// Integer inputs of the floating ones give f32.
inline Tensor neg(const Tensor& x) { return unary<kernels::Neg>(x); }
inline Tensor exp(const Tensor& x) { return unary<kernels::Exp>(x); }
inline Tensor log(const Tensor& x) { return unary<kernels::Log>(x); }
inline Tensor sqrt(const Tensor& x) { return unary<kernels::Sqrt>(x); }
inline Tensor rsqrt(const Tensor& x) { return unary<kernels::Rsqrt>(x); }
inline Tensor square(const Tensor& x) { return unary<kernels::Square>(x); }
inline Tensor abs(const Tensor& x) { return unary<kernels::Abs>(x); }  // slope 0 at 0
inline Tensor sin(const Tensor& x) { return unary<kernels::Sin>(x); }
inline Tensor cos(const Tensor& x) { return unary<kernels::Cos>(x); }
inline Tensor tanh(const Tensor& x) { return unary<kernels::Tanh>(x); }
inline Tensor sigmoid(const Tensor& x) { return unary<kernels::Sigmoid>(x); }
inline Tensor relu(const Tensor& x) { return unary<kernels::Relu>(x); }            // slope 0 at 0
inline Tensor leaky_relu(const Tensor& x, double negative_slope = 0.01) {  // that slope at 0 too
  return unary<kernels::LeakyRelu>(x, {negative_slope});
}
inline Tensor gelu(const Tensor& x) { return unary<kernels::Gelu>(x); }            // x * Phi(x), by erf
inline Tensor gelu_tanh(const Tensor& x) { return unary<kernels::GeluTanh>(x); }  // its tanh approximation
inline Tensor silu(const Tensor& x) { return unary<kernels::Silu>(x); }
inline Tensor logical_not(const Tensor& x) { return unary<kernels::LogicalNot>(x); }
Tensor clamp(const Tensor& x, std::optional<Scalar> min, std::optional<Scalar> max);

// --- Binary -----------------------------------------------------------------------------------------------------------
Tensor add(const Tensor& a, const Tensor& b, Scalar alpha = 1);  // a + alpha b; of integers alpha is an integer
Tensor sub(const Tensor& a, const Tensor& b, Scalar alpha = 1);
inline Tensor mul(const Tensor& a, const Tensor& b) { return binary<kernels::Mul>(a, b); }
inline Tensor div(const Tensor& a, const Tensor& b) { return binary<kernels::Div>(a, b); }  // true division: integers give f32
inline Tensor pow(const Tensor& a, const Tensor& b) { return binary<kernels::Pow>(a, b); }
inline Tensor maximum(const Tensor& a, const Tensor& b) { return binary<kernels::Maximum>(a, b); }  // equal values share the gradient
inline Tensor minimum(const Tensor& a, const Tensor& b) { return binary<kernels::Minimum>(a, b); }
inline Tensor lerp(const Tensor& a, const Tensor& b, double weight) {  // a + weight (b - a)
  return binary(a, b, kernels::Lerp{weight});
}
inline Tensor add(const Tensor& a, Scalar b) { return binary<kernels::Add>(a, b); }
Tensor sub(const Tensor& a, Scalar b);
inline Tensor mul(const Tensor& a, Scalar b) { return binary<kernels::Mul>(a, b); }
inline Tensor div(const Tensor& a, Scalar b) { return binary<kernels::Div>(a, b); }
Tensor pow(const Tensor& a, Scalar b);
Tensor rsub(const Tensor& a, Scalar b);                                              // b - a
inline Tensor rdiv(const Tensor& a, Scalar b) { return binary<kernels::Div>(b, a); }  // b / a
// Comparisons give bool.
inline Tensor eq(const Tensor& a, const Tensor& b) { return binary<kernels::Eq>(a, b); }
inline Tensor ne(const Tensor& a, const Tensor& b) { return binary<kernels::Ne>(a, b); }
inline Tensor lt(const Tensor& a, const Tensor& b) { return binary<kernels::Lt>(a, b); }
inline Tensor le(const Tensor& a, const Tensor& b) { return binary<kernels::Le>(a, b); }
inline Tensor gt(const Tensor& a, const Tensor& b) { return binary<kernels::Gt>(a, b); }
inline Tensor ge(const Tensor& a, const Tensor& b) { return binary<kernels::Ge>(a, b); }
inline Tensor eq(const Tensor& a, Scalar b) { return binary<kernels::Eq>(a, b); }
inline Tensor ne(const Tensor& a, Scalar b) { return binary<kernels::Ne>(a, b); }
inline Tensor lt(const Tensor& a, Scalar b) { return binary<kernels::Lt>(a, b); }
inline Tensor le(const Tensor& a, Scalar b) { return binary<kernels::Le>(a, b); }
inline Tensor gt(const Tensor& a, Scalar b) { return binary<kernels::Gt>(a, b); }
inline Tensor ge(const Tensor& a, Scalar b) { return binary<kernels::Ge>(a, b); }
Tensor where(const Tensor& condition, const Tensor& a, const Tensor& b);
Tensor masked_fill(const Tensor& x, const Tensor& mask, Scalar value);

// --- Reductions --------------------------------------------------------------------------------------------------------
// An empty list of dims means all of them. sum and prod of integers give i64; mean and var want floating inputs.
Tensor sum(const Tensor& x, const std::vector<int>& dims = {}, bool keepdim = false);
Tensor mean(const Tensor& x, const std::vector<int>& dims = {}, bool keepdim = false);
Tensor var(const Tensor& x, const std::vector<int>& dims = {}, bool keepdim = false, int64_t correction = 1);
Tensor prod(const Tensor& x, const std::vector<int>& dims = {}, bool keepdim = false);
Tensor amax(const Tensor& x, const std::vector<int>& dims = {}, bool keepdim = false);  // equal values share the gradient
Tensor amin(const Tensor& x, const std::vector<int>& dims = {}, bool keepdim = false);
struct ValuesAndIndices {
  Tensor values;
  Tensor indices;  // i64
};
ValuesAndIndices max(const Tensor& x, int dim, bool keepdim = false);  // the first of equal values
ValuesAndIndices min(const Tensor& x, int dim, bool keepdim = false);
Tensor argmax(const Tensor& x, int dim, bool keepdim = false);  // i64
Tensor argmin(const Tensor& x, int dim, bool keepdim = false);

// --- Shapes ----------------------------------------------------------------------------------------------------------------
Tensor reshape(const Tensor& x, const Shape& shape);  // one size may be -1; a view where strides allow, else a copy
Tensor view(const Tensor& x, const Shape& shape);     // throws ShapeError where a copy would be needed
Tensor flatten(const Tensor& x, int start_dim = 0, int end_dim = -1);
Tensor squeeze(const Tensor& x);
Tensor squeeze(const Tensor& x, int dim);
Tensor unsqueeze(const Tensor& x, int dim);
Tensor transpose(const Tensor& x, int dim0, int dim1);
Tensor permute(const Tensor& x, const std::vector<int>& dims);
Tensor expand(const Tensor& x, const Shape& shape);  // -1 keeps a size
Tensor slice(const Tensor& x, int dim, int64_t start, int64_t end, int64_t step = 1);  // Python's rules for the ends; step > 0
Tensor select(const Tensor& x, int dim, int64_t index);
Tensor contiguous(const Tensor& x);
Tensor clone(const Tensor& x);
Tensor to(const Tensor& x, DType dtype);
Tensor to(const Tensor& x, Device device);
Tensor cat(const std::vector<Tensor>& tensors, int dim = 0);
Tensor stack(const std::vector<Tensor>& tensors, int dim = 0);
std::vector<Tensor> split(const Tensor& x, int64_t size, int dim = 0);
Tensor index_select(const Tensor& x, int dim, const Tensor& index);
Tensor gather(const Tensor& x, int dim, const Tensor& index);
Tensor embedding(const Tensor& indices, const Tensor& weight);  // rows of weight [count, features]

// --- Products --------------------------------------------------------------------------------------------------------------
Tensor matmul(const Tensor& a, const Tensor& b);  // 1-D, 2-D, batched, broadcast over batch dimensions
// x [..., in], weight [out, in], bias [out] or undefined -> [..., out]
Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias = {});
// The same with an activation fused into both passes.
Tensor linear_relu(const Tensor& x, const Tensor& weight, const Tensor& bias = {});
Tensor linear_gelu_tanh(const Tensor& x, const Tensor& weight, const Tensor& bias = {});

// --- Softmax and losses -------------------------------------------------------------------------------------------------------
Tensor softmax(const Tensor& x, int dim);
Tensor log_softmax(const Tensor& x, int dim);
struct CrossEntropyOptions {
  Reduction reduction = Reduction::mean;
  double label_smoothing = 0;
  int64_t ignore_index = -100;
};
// logits [batch, classes, ...], target i64 [batch, ...] of class indices. Mean divides by the targets that are not ignored
// (by the sum of their class weights). `weight` [classes] or undefined.
Tensor cross_entropy(const Tensor& logits, const Tensor& target, const Tensor& weight = {}, const CrossEntropyOptions& options = {});
Tensor mse_loss(const Tensor& x, const Tensor& target, Reduction reduction = Reduction::mean);
Tensor binary_cross_entropy_with_logits(const Tensor& logits, const Tensor& target, const Tensor& pos_weight = {},
                                        Reduction reduction = Reduction::mean);

// --- Attention ----------------------------------------------------------------------------------------------------------------
struct AttentionOptions {
  bool is_causal = false;              // query i sees the keys up to i, as PyTorch's does for other lengths of keys too
  std::optional<double> scale = {};    // of the scores; 1 / sqrt(features) if there is none
  double dropout_p = 0;                // drops probabilities as dropout(probabilities, dropout_p, key) does
  RandomKey key = {};
};
// softmax(scale query key^T + mask) value. query [..., length, features], key [..., keys, features], value [..., keys, any]; the
// dimensions before broadcast. mask broadcasts to [..., length, keys]: bool, true where a key takes part, or numbers of the query's
// dtype that are added, which get no gradient. Queries that see no key give zeros.
Tensor scaled_dot_product_attention(const Tensor& query, const Tensor& key, const Tensor& value, const Tensor& mask = {},
                                    const AttentionOptions& options = {});

// --- Convolution and pooling ------------------------------------------------------------------------------------------------------
using Pair = std::array<int64_t, 2>;  // height, width
struct Conv2dOptions {
  Pair stride = {1, 1};
  Pair padding = {0, 0};
  Pair dilation = {1, 1};
  int64_t groups = 1;
  // Padding after the last row and column where it differs from `padding`, as "same" wants for an even kernel.
  std::optional<Pair> padding_end = {};
};
// x [batch, in, h, w], weight [out, in / groups, kh, kw], bias [out] or undefined
Tensor conv2d(const Tensor& x, const Tensor& weight, const Tensor& bias = {}, const Conv2dOptions& options = {});
// The same with ReLU fused into both passes.
Tensor conv2d_relu(const Tensor& x, const Tensor& weight, const Tensor& bias = {}, const Conv2dOptions& options = {});
struct Pool2dOptions {
  Pair kernel_size = {1, 1};
  Pair stride = {0, 0};  // 0: kernel_size
  Pair padding = {0, 0};
  Pair dilation = {1, 1};         // max_pool2d only
  bool ceil_mode = false;
  bool count_include_pad = true;  // avg_pool2d only
};
Tensor max_pool2d(const Tensor& x, const Pool2dOptions& options);
Tensor avg_pool2d(const Tensor& x, const Pool2dOptions& options);
Tensor adaptive_avg_pool2d(const Tensor& x, const Pair& output_size);

// --- Normalisation and dropout -------------------------------------------------------------------------------------------------------
// x [batch, channels, ...]. Training: normalises by the batch's statistics and, where they are defined, updates the running ones
// in place (running = (1 - momentum) running + momentum batch; the variance unbiased). Otherwise uses the running ones.
struct BatchNormOptions {
  bool training = false;
  double momentum = 0.1;
  double eps = 1e-5;
  // Ranks that share the batch: in training the statistics are of all their samples together, and so is the gradient of x
  // for a loss that is summed over ranks. Those of weight and bias are this rank's part. A rank may have no samples.
  std::shared_ptr<BatchPeers> peers = {};
};
Tensor batch_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& running_mean, const Tensor& running_var,
                  const BatchNormOptions& options = {});
// Over the last dimensions, `normalized_shape`. weight and bias have that shape or are undefined.
Tensor layer_norm(const Tensor& x, const Shape& normalized_shape, const Tensor& weight = {}, const Tensor& bias = {}, double eps = 1e-5);
// Zeroes each element with probability p and scales the rest by 1 / (1 - p). Element i of sample s (along dimension 0) draws
// number (key.first + s) * elements_per_sample + i of the stream that `key` names.
Tensor dropout(const Tensor& x, double p, const RandomKey& key);

// --- Operators ---------------------------------------------------------------------------------------------------------------------------
inline Tensor operator+(const Tensor& a, const Tensor& b) { return add(a, b); }
inline Tensor operator-(const Tensor& a, const Tensor& b) { return sub(a, b); }
inline Tensor operator*(const Tensor& a, const Tensor& b) { return mul(a, b); }
inline Tensor operator/(const Tensor& a, const Tensor& b) { return div(a, b); }
inline Tensor operator+(const Tensor& a, Scalar b) { return add(a, b); }
inline Tensor operator-(const Tensor& a, Scalar b) { return sub(a, b); }
inline Tensor operator*(const Tensor& a, Scalar b) { return mul(a, b); }
inline Tensor operator/(const Tensor& a, Scalar b) { return div(a, b); }
inline Tensor operator+(Scalar a, const Tensor& b) { return add(b, a); }
inline Tensor operator-(Scalar a, const Tensor& b) { return rsub(b, a); }
inline Tensor operator*(Scalar a, const Tensor& b) { return mul(b, a); }
inline Tensor operator/(Scalar a, const Tensor& b) { return rdiv(b, a); }
inline Tensor operator==(const Tensor& a, const Tensor& b) { return eq(a, b); }
inline Tensor operator!=(const Tensor& a, const Tensor& b) { return ne(a, b); }
inline Tensor operator<(const Tensor& a, const Tensor& b) { return lt(a, b); }
inline Tensor operator<=(const Tensor& a, const Tensor& b) { return le(a, b); }
inline Tensor operator>(const Tensor& a, const Tensor& b) { return gt(a, b); }
inline Tensor operator>=(const Tensor& a, const Tensor& b) { return ge(a, b); }
inline Tensor operator==(const Tensor& a, Scalar b) { return eq(a, Tensor::scalar(b, {b.kind(), a.device()})); }
inline Tensor operator!=(const Tensor& a, Scalar b) { return ne(a, Tensor::scalar(b, {b.kind(), a.device()})); }
inline Tensor operator<(const Tensor& a, Scalar b) { return lt(a, Tensor::scalar(b, {b.kind(), a.device()})); }
inline Tensor operator<=(const Tensor& a, Scalar b) { return le(a, Tensor::scalar(b, {b.kind(), a.device()})); }
inline Tensor operator>(const Tensor& a, Scalar b) { return gt(a, Tensor::scalar(b, {b.kind(), a.device()})); }
inline Tensor operator>=(const Tensor& a, Scalar b) { return ge(a, Tensor::scalar(b, {b.kind(), a.device()})); }

}  // namespace rstorch
