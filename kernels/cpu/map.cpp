#include "kernels/cpu/map.h"

#include <algorithm>
#include <numeric>

#include "kernels/cpu/convert.h"
#include "kernels/cpu/walk.h"

namespace rstorch::kernels {
namespace {

constexpr size_t kMaxInputs = 3;
constexpr int64_t kBufferBytes = 4096;

// A view on the walk, over the joint dimensions.
struct Walked {
  char* data = nullptr;
  Index strides{};           // in bytes
  DType dtype = DType::f32;  // as stored
  DType type = DType::f32;   // as computed
  ConvertRun convert = nullptr;
  bool constant = false;  // one element for all

  int64_t stride(int dim) const { return strides[size_t(dim)] / int64_t(size_of(dtype)); }
};

// All views of a call over the smallest number of joint dimensions.
class Walk {
 public:
  Walk(const View& y, DType y_type, std::span<const Operand> x, std::span<const DType> x_types) : inputs_(x.size()) {
    output_ = {static_cast<char*>(y.data), {}, y.dtype, y_type, convert_run(y_type, y.dtype)};
    size_t widest = size_of(y_type);
    for (size_t k = 0; k < inputs_; ++k) {
      if (x[k].is_number) {
        numbers_[k] = element_of(x[k].number, x_types[k]);
        in_[k] = {reinterpret_cast<char*>(numbers_[k].bytes), {}, x_types[k], x_types[k]};
      } else {
        in_[k] = {static_cast<char*>(const_cast<void*>(x[k].view.data)), {}, x[k].view.dtype, x_types[k]};
      }
      in_[k].convert = convert_run(in_[k].dtype, in_[k].type);
      widest = std::max(widest, size_of(x_types[k]));
    }
    block_ = kBufferBytes / int64_t(widest);
    for (int i = 0; i < y.dims(); ++i) add_dimension(y, x, i);
    if (box_.dims == 0) box_.sizes[size_t(box_.dims++)] = 1;
    for (size_t k = 0; k < inputs_; ++k) {
      in_[k].constant = std::all_of(in_[k].strides.begin(), in_[k].strides.end(), [](int64_t s) { return s == 0; });
    }
  }

  // The elements [begin, end) in row-major order.
  void run(int64_t begin, int64_t end, const BlockFunction& block) const {
    alignas(64) char buffers[kMaxInputs + 1][kBufferBytes];
    const void* x[kMaxInputs];
    for (size_t k = 0; k < inputs_; ++k) {
      x[k] = buffers[k];
      if (in_[k].constant) in_[k].convert(in_[k].data, 0, buffers[k], 1, std::min(block_, end - begin));
    }
    Index index = box_.at(begin);
    while (begin < end) {
      // Long rows are taken one by one, so that operands with unit stride are read in place; short ones are gathered.
      int64_t n = std::min(block_, end - begin);
      if (const int64_t in_row = box_.left_in_row(index); in_row >= block_ / 8) n = std::min(n, in_row);
      for (size_t k = 0; k < inputs_; ++k) {
        if (in_[k].constant) continue;
        x[k] = in_place(in_[k], index, n) ? at(in_[k], index) : gather(in_[k], index, n, buffers[k]);
      }
      if (in_place(output_, index, n)) {
        block(at(output_, index), x, n);
      } else {
        block(buffers[kMaxInputs], x, n);
        scatter(buffers[kMaxInputs], index, n);
      }
      box_.advance(index, n);
      begin += n;
    }
  }

 private:
  // Appends dimension i of the views, or joins it to the last one where all strides allow.
  void add_dimension(const View& y, std::span<const Operand> x, int i) {
    const int64_t size = y.shape[i];
    if (size == 1) return;
    std::array<int64_t, kMaxInputs + 1> strides;
    strides[kMaxInputs] = y.strides[i] * int64_t(size_of(y.dtype));
    for (size_t k = 0; k < inputs_; ++k) {
      strides[k] = x[k].is_number ? 0 : x[k].view.strides[i] * int64_t(size_of(x[k].view.dtype));
    }
    const auto joins = [&](const Walked& view, int64_t stride) {
      return view.strides[size_t(box_.inner())] == stride * size;
    };
    bool all_join = box_.dims > 0 && joins(output_, strides[kMaxInputs]);
    for (size_t k = 0; all_join && k < inputs_; ++k) all_join = joins(in_[k], strides[k]);
    if (all_join) {
      box_.sizes[size_t(box_.inner())] *= size;
    } else {
      box_.sizes[size_t(box_.dims++)] = size;
    }
    output_.strides[size_t(box_.inner())] = strides[kMaxInputs];
    for (size_t k = 0; k < inputs_; ++k) in_[k].strides[size_t(box_.inner())] = strides[k];
  }

  char* at(const Walked& view, const Index& index) const { return view.data + box_.offset(index, view.strides); }

  bool in_place(const Walked& view, const Index& index, int64_t n) const {
    return view.dtype == view.type && view.stride(box_.inner()) == 1 && n <= box_.left_in_row(index);
  }

  const void* gather(const Walked& view, const Index& index, int64_t n, char* buffer) const {
    char* to = buffer;
    box_.for_each_run(index, n, [&](const Index& from, int64_t count) {
      view.convert(at(view, from), view.stride(box_.inner()), to, 1, count);
      to += count * int64_t(size_of(view.type));
    });
    return buffer;
  }

  void scatter(const char* from, const Index& index, int64_t n) const {
    box_.for_each_run(index, n, [&](const Index& to, int64_t count) {
      output_.convert(from, 1, at(output_, to), output_.stride(box_.inner()), count);
      from += count * int64_t(size_of(output_.type));
    });
  }

  size_t inputs_;
  int64_t block_ = 0;  // elements that fit a buffer
  Box box_;
  Walked output_;
  std::array<Walked, kMaxInputs> in_;
  std::array<Element, kMaxInputs> numbers_;
};

}  // namespace

void sort_dimensions(View& y, std::span<Operand> x) {
  std::array<int, kMaxDims> order;
  const auto end = order.begin() + y.dims();
  std::iota(order.begin(), end, 0);
  std::stable_sort(order.begin(), end, [&](int i, int k) { return y.strides[i] > y.strides[k]; });
  const auto sort = [&](auto& view) {
    const auto before = view;
    for (int i = 0; i < y.dims(); ++i) {
      view.shape[i] = before.shape[order[size_t(i)]];
      view.strides[i] = before.strides[order[size_t(i)]];
    }
  };
  for (Operand& operand : x) {
    if (!operand.is_number) sort(operand.view);
  }
  sort(y);
}

void map_blocks(const View& y, DType y_type, std::span<const Operand> x, std::span<const DType> x_types, int64_t grain,
                const BlockFunction& block) {
  const int64_t n = y.numel();
  if (n == 0) return;
  const Walk walk(y, y_type, x, x_types);
  parallel_for(n, grain, [&](int64_t begin, int64_t end) { walk.run(begin, end, block); });
}

}  // namespace rstorch::kernels
