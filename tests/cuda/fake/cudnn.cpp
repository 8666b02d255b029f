#include <cstdlib>
#include <cstring>
#include <type_traits>
#include <vector>

#include <cudnn.h>

#include "base/half.h"
#include "tf32.h"

namespace {

constexpr size_t kWorkspace = 1000;

void set(FakeTensor& tensor, cudnnDataType_t type, cudnnTensorFormat_t format, int n, int c, int h, int w) {
  tensor = {type, format, {n, c, h, w}, {}};
  if (format == CUDNN_TENSOR_NHWC) {
    const int64_t strides[] = {int64_t(h) * w * c, 1, int64_t(w) * c, c};
    std::copy(strides, strides + 4, tensor.strides);
  } else {
    const int64_t strides[] = {int64_t(c) * h * w, int64_t(h) * w, w, 1};
    std::copy(strides, strides + 4, tensor.strides);
  }
}

int64_t at(const FakeTensor& tensor, int64_t n, int64_t c, int64_t h, int64_t w) {
  return n * tensor.strides[0] + c * tensor.strides[1] + h * tensor.strides[2] + w * tensor.strides[3];
}

// y has the sizes that x, w and the convolution give.
bool fits(const FakeTensor& x, const FakeTensor& w, const FakeConvolution& c, const FakeTensor& y) {
  bool fits = x.sizes[1] == w.sizes[1] * c.groups && y.sizes[0] == x.sizes[0] && y.sizes[1] == w.sizes[0] &&
              w.sizes[0] % c.groups == 0 && x.type == w.type && x.type == y.type && x.format == y.format &&
              x.format == w.format;
  for (int i = 0; i < 2; ++i) {
    const int64_t reach = c.dilation[i] * (w.sizes[i + 2] - 1) + 1;
    fits = fits && y.sizes[i + 2] == (x.sizes[i + 2] + 2 * c.padding[i] - reach) / c.stride[i] + 1;
  }
  return fits;
}

// Calls f(x_at, w_at, y_at) for each product of the convolution.
template <class F>
void for_each_product(const FakeTensor& x, const FakeTensor& w, const FakeConvolution& c, const FakeTensor& y,
                      const F& f) {
  const int64_t out = y.sizes[1] / c.groups;
  for (int64_t n = 0; n < y.sizes[0]; ++n)
    for (int64_t k = 0; k < y.sizes[1]; ++k)
      for (int64_t i = 0; i < y.sizes[2]; ++i)
        for (int64_t j = 0; j < y.sizes[3]; ++j)
          for (int64_t in = 0; in < w.sizes[1]; ++in)
            for (int64_t r = 0; r < w.sizes[2]; ++r)
              for (int64_t s = 0; s < w.sizes[3]; ++s) {
                const int64_t h = i * c.stride[0] + r * c.dilation[0] - c.padding[0];
                const int64_t v = j * c.stride[1] + s * c.dilation[1] - c.padding[1];
                if (h < 0 || h >= x.sizes[2] || v < 0 || v >= x.sizes[3]) continue;
                f(at(x, n, k / out * w.sizes[1] + in, h, v), at(w, k, in, r, s), at(y, n, k, i, j));
              }
}

template <class F>
void dispatch(cudnnDataType_t type, const F& f) {
  switch (type) {
    case CUDNN_DATA_FLOAT:
      return f(float{});
    case CUDNN_DATA_DOUBLE:
      return f(double{});
    case CUDNN_DATA_HALF:
      return f(rstorch::f16{});
    case CUDNN_DATA_BFLOAT16:
      return f(rstorch::bf16{});
  }
}

template <class T>
using Sum = std::conditional_t<std::is_same_v<T, double>, double, float>;

// A factor of a product, as the convolution's arithmetic takes it.
template <class T>
Sum<T> factor(const FakeConvolution& convolution, const void* values, int64_t at) {
  const T value = static_cast<const T*>(values)[at];
  return Sum<T>(convolution.math == CUDNN_TENSOR_OP_MATH ? fake_cuda::to_tf32(value) : value);
}

// The result's elements are sums of products a b; f adds them.
template <class T, class F>
void accumulate(const FakeTensor& result, void* out, const F& f) {
  int64_t count = 1;
  for (const int64_t size : result.sizes) count *= size;
  std::vector<Sum<T>> sums(size_t(count), 0);
  f(sums.data());
  for (int64_t i = 0; i < count; ++i) static_cast<T*>(out)[i] = T(sums[size_t(i)]);
}

// As the real one: double has algorithms for contiguous images only, and the fastest are not always to our taste.
template <class Algorithm>
cudnnStatus_t propose(const FakeTensor& x, const FakeTensor& w, const FakeConvolution& c, const FakeTensor& y,
                      Algorithm algorithm, int* count, FakeProposal<Algorithm>* proposals) {
  if (!fits(x, w, c, y)) return CUDNN_STATUS_BAD_PARAM;
  if (x.type == CUDNN_DATA_DOUBLE && x.format == CUDNN_TENSOR_NHWC) return CUDNN_STATUS_NOT_SUPPORTED;
  proposals[0] = {Algorithm(7), CUDNN_STATUS_SUCCESS, 0, 0, CUDNN_NON_DETERMINISTIC, CUDNN_FMA_MATH};
  proposals[1] = {Algorithm(7), CUDNN_STATUS_NOT_SUPPORTED, 0, 0, CUDNN_DETERMINISTIC, CUDNN_FMA_MATH};
  proposals[2] = {algorithm, CUDNN_STATUS_SUCCESS, 0, kWorkspace, CUDNN_DETERMINISTIC, c.math};
  *count = 3;
  return CUDNN_STATUS_SUCCESS;
}

// Whoever kept something in the workspace shows.
void spoil(void* workspace, size_t bytes) {
  if (bytes > 0) std::memset(workspace, 0xff, bytes);
}

}  // namespace

const char* cudnnGetErrorString(cudnnStatus_t) { return "a fake status"; }
cudnnStatus_t cudnnCreate(cudnnHandle_t* handle) {
  *handle = reinterpret_cast<cudnnHandle_t>(std::malloc(1));
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnDestroy(cudnnHandle_t handle) {
  std::free(handle);
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnSetStream(cudnnHandle_t, cudaStream_t) { return CUDNN_STATUS_SUCCESS; }

cudnnStatus_t cudnnCreateTensorDescriptor(cudnnTensorDescriptor_t* tensor) {
  *tensor = new FakeTensor{};
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnDestroyTensorDescriptor(cudnnTensorDescriptor_t tensor) {
  delete tensor;
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnSetTensor4dDescriptor(cudnnTensorDescriptor_t tensor, cudnnTensorFormat_t format,
                                         cudnnDataType_t type, int n, int c, int h, int w) {
  if (n < 1 || c < 1 || h < 1 || w < 1) return CUDNN_STATUS_BAD_PARAM;
  set(*tensor, type, format, n, c, h, w);
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnCreateFilterDescriptor(cudnnFilterDescriptor_t* filter) {
  *filter = new FakeFilter{};
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnDestroyFilterDescriptor(cudnnFilterDescriptor_t filter) {
  delete filter;
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnSetFilter4dDescriptor(cudnnFilterDescriptor_t filter, cudnnDataType_t type,
                                         cudnnTensorFormat_t format, int k, int c, int h, int w) {
  set(*filter, type, format, k, c, h, w);
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnCreateConvolutionDescriptor(cudnnConvolutionDescriptor_t* convolution) {
  *convolution = new FakeConvolution{};
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnDestroyConvolutionDescriptor(cudnnConvolutionDescriptor_t convolution) {
  delete convolution;
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnSetConvolution2dDescriptor(cudnnConvolutionDescriptor_t convolution, int pad_h, int pad_w, int u,
                                              int v, int dilation_h, int dilation_w, cudnnConvolutionMode_t mode,
                                              cudnnDataType_t) {
  if (mode != CUDNN_CROSS_CORRELATION) return CUDNN_STATUS_NOT_SUPPORTED;
  *convolution = {{pad_h, pad_w}, {u, v}, {dilation_h, dilation_w}};
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnSetConvolutionGroupCount(cudnnConvolutionDescriptor_t convolution, int groups) {
  convolution->groups = groups;
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnSetConvolutionMathType(cudnnConvolutionDescriptor_t convolution, cudnnMathType_t math) {
  convolution->math = math;
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnGetConvolutionForwardAlgorithm_v7(cudnnHandle_t, cudnnTensorDescriptor_t x,
                                                     cudnnFilterDescriptor_t w,
                                                     cudnnConvolutionDescriptor_t convolution,
                                                     cudnnTensorDescriptor_t y, int, int* count,
                                                     cudnnConvolutionFwdAlgoPerf_t* proposals) {
  return propose(*x, *w, *convolution, *y, CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_GEMM, count, proposals);
}
cudnnStatus_t cudnnGetConvolutionBackwardDataAlgorithm_v7(cudnnHandle_t, cudnnFilterDescriptor_t w,
                                                          cudnnTensorDescriptor_t dy,
                                                          cudnnConvolutionDescriptor_t convolution,
                                                          cudnnTensorDescriptor_t dx, int, int* count,
                                                          cudnnConvolutionBwdDataAlgoPerf_t* proposals) {
  return propose(*dx, *w, *convolution, *dy, CUDNN_CONVOLUTION_BWD_DATA_ALGO_1, count, proposals);
}
cudnnStatus_t cudnnGetConvolutionBackwardFilterAlgorithm_v7(cudnnHandle_t, cudnnTensorDescriptor_t x,
                                                            cudnnTensorDescriptor_t dy,
                                                            cudnnConvolutionDescriptor_t convolution,
                                                            cudnnFilterDescriptor_t dw, int, int* count,
                                                            cudnnConvolutionBwdFilterAlgoPerf_t* proposals) {
  return propose(*x, *dw, *convolution, *dy, CUDNN_CONVOLUTION_BWD_FILTER_ALGO_1, count, proposals);
}

// alpha is 1 and beta 0 in all calls of kernels/cuda.
cudnnStatus_t cudnnConvolutionForward(cudnnHandle_t, const void*, cudnnTensorDescriptor_t in_x, const void* x,
                                      cudnnFilterDescriptor_t in_w, const void* w,
                                      cudnnConvolutionDescriptor_t convolution, cudnnConvolutionFwdAlgo_t,
                                      void* workspace, size_t bytes, const void*, cudnnTensorDescriptor_t in_y,
                                      void* y) {
  if (!fits(*in_x, *in_w, *convolution, *in_y) || bytes < kWorkspace) return CUDNN_STATUS_BAD_PARAM;
  spoil(workspace, bytes);
  dispatch(in_x->type, [&]<class T>(T) {
    accumulate<T>(*in_y, y, [&](Sum<T>* sums) {
      for_each_product(*in_x, *in_w, *convolution, *in_y, [&](int64_t at_x, int64_t at_w, int64_t at_y) {
        sums[at_y] += factor<T>(*convolution, x, at_x) * factor<T>(*convolution, w, at_w);
      });
    });
  });
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnConvolutionBackwardData(cudnnHandle_t, const void*, cudnnFilterDescriptor_t in_w, const void* w,
                                           cudnnTensorDescriptor_t in_dy, const void* dy,
                                           cudnnConvolutionDescriptor_t convolution, cudnnConvolutionBwdDataAlgo_t,
                                           void* workspace, size_t bytes, const void*, cudnnTensorDescriptor_t in_dx,
                                           void* dx) {
  if (!fits(*in_dx, *in_w, *convolution, *in_dy) || bytes < kWorkspace) return CUDNN_STATUS_BAD_PARAM;
  spoil(workspace, bytes);
  dispatch(in_dx->type, [&]<class T>(T) {
    accumulate<T>(*in_dx, dx, [&](Sum<T>* sums) {
      for_each_product(*in_dx, *in_w, *convolution, *in_dy, [&](int64_t at_x, int64_t at_w, int64_t at_y) {
        sums[at_x] += factor<T>(*convolution, dy, at_y) * factor<T>(*convolution, w, at_w);
      });
    });
  });
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnConvolutionBackwardFilter(cudnnHandle_t, const void*, cudnnTensorDescriptor_t in_x, const void* x,
                                             cudnnTensorDescriptor_t in_dy, const void* dy,
                                             cudnnConvolutionDescriptor_t convolution, cudnnConvolutionBwdFilterAlgo_t,
                                             void* workspace, size_t bytes, const void*, cudnnFilterDescriptor_t in_dw,
                                             void* dw) {
  if (!fits(*in_x, *in_dw, *convolution, *in_dy) || bytes < kWorkspace) return CUDNN_STATUS_BAD_PARAM;
  spoil(workspace, bytes);
  dispatch(in_x->type, [&]<class T>(T) {
    accumulate<T>(*in_dw, dw, [&](Sum<T>* sums) {
      for_each_product(*in_x, *in_dw, *convolution, *in_dy, [&](int64_t at_x, int64_t at_w, int64_t at_y) {
        sums[at_w] += factor<T>(*convolution, x, at_x) * factor<T>(*convolution, dy, at_y);
      });
    });
  });
  return CUDNN_STATUS_SUCCESS;
}
