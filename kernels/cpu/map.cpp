#include "kernels/cpu/map.h"

#include "kernels/cpu/convert.h"

namespace rstorch::kernels {
namespace {

constexpr int kMaxInputs = 3;
constexpr int64_t kBufferBytes = 4096;

using Index = std::array<int64_t, kMaxDims>;

// A view as the walk sees it: strides in bytes, over the joint dimensions.
struct Walked {
  char* data = nullptr;
  Index strides{};
  DType dtype = DType::f32;  // as stored
  DType type = DType::f32;   // as computed
  ConvertRun convert = nullptr;
  bool constant = false;  // one element for all: strides of 0 only

  int64_t stride_in_elements(int dim) const { return strides[size_t(dim)] / int64_t(size_of(dtype)); }
};

// All views of a call over the smallest number of joint dimensions.
class Walk {
 public:
  Walk(const View& y, DType y_type, std::span<const Operand> x, std::span<const DType> x_types) : inputs_(x.size()) {
    output_ = {static_cast<char*>(y.data), {}, y.dtype, y_type, convert_run(y_type, y.dtype)};
    for (size_t k = 0; k < inputs_; ++k) {
      if (x[k].is_number) {
        numbers_[k] = element_of(x[k].number, x_types[k]);
        in_[k] = {reinterpret_cast<char*>(numbers_[k].bytes), {}, x_types[k], x_types[k]};
      } else {
        in_[k] = {static_cast<char*>(const_cast<void*>(x[k].view.data)), {}, x[k].view.dtype, x_types[k]};
      }
      in_[k].convert = convert_run(in_[k].dtype, in_[k].type);
    }
    for (int i = 0; i < y.dims(); ++i) add_dimension(y, x, i);
    if (dims_ == 0) sizes_[size_t(dims_++)] = 1;
    for (size_t k = 0; k < inputs_; ++k) {
      in_[k].constant =
          std::all_of(in_[k].strides.begin(), in_[k].strides.begin() + dims_, [](int64_t s) { return s == 0; });
    }
    size_t widest = size_of(y_type);
    for (const DType type : x_types) widest = std::max(widest, size_of(type));
    block_ = kBufferBytes / int64_t(widest);
  }

  // The elements [begin, end) in row-major order.
  void run(int64_t begin, int64_t end, const BlockFunction& block) const {
    alignas(64) unsigned char buffers[kMaxInputs + 1][kBufferBytes];
    const void* x[kMaxInputs];
    for (size_t k = 0; k < inputs_; ++k) {
      x[k] = buffers[k];
      if (in_[k].constant) in_[k].convert(in_[k].data, 0, buffers[k], 1, block_);
    }
    Index index = index_of(begin);
    const int inner = dims_ - 1;
    while (begin < end) {
      int64_t n = std::min(block_, end - begin);
      // Long rows are taken one by one, so that operands with unit stride are read in place; short ones are gathered.
      const int64_t in_row = sizes_[size_t(inner)] - index[size_t(inner)];
      if (in_row >= block_ / 8) n = std::min(n, in_row);
      for (size_t k = 0; k < inputs_; ++k) {
        if (in_[k].constant) continue;
        const bool direct = n <= in_row && in_[k].dtype == in_[k].type && in_[k].stride_in_elements(inner) == 1;
        if (direct) {
          x[k] = at(in_[k], index);
        } else {
          x[k] = buffers[k];
          for_each_run(in_[k], index, n, [&, to = buffers[k]](char* from, int64_t stride, int64_t count) mutable {
            in_[k].convert(from, stride, to, 1, count);
            to += count * int64_t(size_of(in_[k].type));
          });
        }
      }
      if (n <= in_row && output_.dtype == output_.type && output_.stride_in_elements(inner) == 1) {
        block(at(output_, index), x, n);
      } else {
        unsigned char* from = buffers[kMaxInputs];
        block(from, x, n);
        for_each_run(output_, index, n, [&](char* to, int64_t stride, int64_t count) {
          output_.convert(from, 1, to, stride, count);
          from += count * int64_t(size_of(output_.type));
        });
      }
      advance(index, n);
      begin += n;
    }
  }

 private:
  // Appends dimension i of the views, or joins it to the last one where all strides allow.
  void add_dimension(const View& y, std::span<const Operand> x, int i) {
    const int64_t size = y.shape[i];
    if (size == 1) return;
    Index strides;  // of the output, then the inputs, in bytes
    strides[0] = y.strides[i] * int64_t(size_of(y.dtype));
    for (size_t k = 0; k < inputs_; ++k) {
      strides[k + 1] = x[k].is_number ? 0 : x[k].view.strides[i] * int64_t(size_of(x[k].view.dtype));
    }
    const auto last = [&](size_t k) -> int64_t& { return (k == 0 ? output_ : in_[k - 1]).strides[size_t(dims_ - 1)]; };
    bool joins = dims_ > 0;
    for (size_t k = 0; joins && k <= inputs_; ++k) joins = last(k) == strides[k] * size;
    if (joins) {
      sizes_[size_t(dims_ - 1)] *= size;
    } else {
      sizes_[size_t(dims_++)] = size;
    }
    for (size_t k = 0; k <= inputs_; ++k) last(k) = strides[k];
  }

  Index index_of(int64_t linear) const {
    Index index{};
    for (int i = dims_ - 1; i > 0; --i) {
      index[size_t(i)] = linear % sizes_[size_t(i)];
      linear /= sizes_[size_t(i)];
    }
    index[0] = linear;
    return index;
  }

  void advance(Index& index, int64_t n) const {
    for (int i = dims_ - 1; i > 0; --i) {
      index[size_t(i)] += n;
      if (index[size_t(i)] < sizes_[size_t(i)]) return;
      n = index[size_t(i)] / sizes_[size_t(i)];
      index[size_t(i)] %= sizes_[size_t(i)];
    }
    index[0] += n;
  }

  char* at(const Walked& view, const Index& index) const {
    char* data = view.data;
    for (int i = 0; i < dims_; ++i) data += index[size_t(i)] * view.strides[size_t(i)];
    return data;
  }

  // Calls f(data, stride, count) for the runs along the innermost dimension that make up n elements from `index` on.
  template <class F>
  void for_each_run(const Walked& view, Index index, int64_t n, F f) const {
    const int inner = dims_ - 1;
    while (n > 0) {
      const int64_t count = std::min(n, sizes_[size_t(inner)] - index[size_t(inner)]);
      f(at(view, index), view.stride_in_elements(inner), count);
      advance(index, count);
      n -= count;
    }
  }

  size_t inputs_;
  int dims_ = 0;
  int64_t block_ = 0;  // elements that fit a buffer
  Index sizes_{};
  Walked output_;
  std::array<Walked, kMaxInputs> in_;
  std::array<Element, kMaxInputs> numbers_;
};

}  // namespace

void map_blocks(const View& y, DType y_type, std::span<const Operand> x, std::span<const DType> x_types, int64_t grain,
                const BlockFunction& block) {
  const int64_t n = y.numel();
  if (n == 0) return;
  const Walk walk(y, y_type, x, x_types);
  parallel_for(n, grain, [&](int64_t begin, int64_t end) { walk.run(begin, end, block); });
}

}  // namespace rstorch::kernels
