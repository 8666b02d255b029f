// Every operation on tensors, with PyTorch's names and meaning unless a line says otherwise.
//
// All are recorded by autograd where an input requires grad, except those with integer or boolean results. Shapes broadcast as
// NumPy's; dtypes promote as PyTorch's. Dimensions may be negative. Errors: ShapeError, DTypeError, DeviceError, ArgumentError.
#pragma once

#include <optional>
#include <vector>

#include "base/random_key.h"
#include "kernels/options.h"  // Reduction: none, mean, sum
#include "tensor/tensor.h"

namespace rstorch {

// --- Unary ------------------------------------------------------------------------------------------------------------
// Integer inputs of the floating ones give f32.
Tensor neg(const Tensor& x);
Tensor exp(const Tensor& x);
Tensor log(const Tensor& x);
Tensor sqrt(const Tensor& x);
Tensor rsqrt(const Tensor& x);
Tensor abs(const Tensor& x);  // slope 0 at 0
Tensor sin(const Tensor& x);
Tensor cos(const Tensor& x);
Tensor tanh(const Tensor& x);
Tensor sigmoid(const Tensor& x);
Tensor relu(const Tensor& x);  // slope 0 at 0
Tensor gelu(const Tensor& x);       // x * Phi(x), by erf
Tensor gelu_tanh(const Tensor& x);  // its tanh approximation
Tensor silu(const Tensor& x);
Tensor logical_not(const Tensor& x);

// --- Binary -----------------------------------------------------------------------------------------------------------
Tensor add(const Tensor& a, const Tensor& b, Scalar alpha = 1);  // a + alpha b
Tensor sub(const Tensor& a, const Tensor& b, Scalar alpha = 1);
Tensor mul(const Tensor& a, const Tensor& b);
Tensor div(const Tensor& a, const Tensor& b);  // true division: integers give f32
Tensor pow(const Tensor& a, const Tensor& b);
Tensor maximum(const Tensor& a, const Tensor& b);  // equal values share the gradient
Tensor minimum(const Tensor& a, const Tensor& b);
Tensor add(const Tensor& a, Scalar b);
Tensor sub(const Tensor& a, Scalar b);
Tensor mul(const Tensor& a, Scalar b);
Tensor div(const Tensor& a, Scalar b);
Tensor pow(const Tensor& a, Scalar b);
Tensor rsub(const Tensor& a, Scalar b);  // b - a
Tensor rdiv(const Tensor& a, Scalar b);  // b / a
// Comparisons give bool.
Tensor eq(const Tensor& a, const Tensor& b);
Tensor ne(const Tensor& a, const Tensor& b);
Tensor lt(const Tensor& a, const Tensor& b);
Tensor le(const Tensor& a, const Tensor& b);
Tensor gt(const Tensor& a, const Tensor& b);
Tensor ge(const Tensor& a, const Tensor& b);
Tensor eq(const Tensor& a, Scalar b);
Tensor ne(const Tensor& a, Scalar b);
Tensor lt(const Tensor& a, Scalar b);
Tensor le(const Tensor& a, Scalar b);
Tensor gt(const Tensor& a, Scalar b);
Tensor ge(const Tensor& a, Scalar b);
Tensor where(const Tensor& condition, const Tensor& a, const Tensor& b);
Tensor masked_fill(const Tensor& x, const Tensor& mask, Scalar value);
Tensor clamp(const Tensor& x, std::optional<Scalar> min, std::optional<Scalar> max);

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
// The same with ReLU fused into both passes.
Tensor linear_relu(const Tensor& x, const Tensor& weight, const Tensor& bias = {});

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

}  // namespace rstorch
