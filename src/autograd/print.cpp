// Tensor::text: what PyTorch's repr prints, to the letter (torch/_tensor_str.py with its default options). It is here
// because it names the operation behind a tensor.
#include <cctype>
#include <cmath>
#include <ostream>

#include "autograd/meta.h"
#include "autograd/node.h"
#include "tensor/arithmetic.h"
#include "tensor/runtime.h"
#include "tensor/tensor.h"

namespace rstorch {
namespace {

constexpr int64_t kThreshold = 1000;  // larger tensors are summarised
constexpr int64_t kEdge = 3;          // elements shown at either end of a summarised dimension
constexpr size_t kLineWidth = 80;

// How the elements of a tensor are written: all alike, and equally wide.
class Formatter {
 public:
  explicit Formatter(const std::vector<Scalar>& elements) {
    double smallest = INFINITY, largest = 0;
    for (const Scalar& element : elements) {
      if (!counts(element)) continue;
      const double value = std::abs(element.as<double>());
      smallest = std::min(smallest, value);
      largest = std::max(largest, value);
      if (value != std::ceil(value)) whole_ = false;
    }
    if (largest > 0) scientific_ = largest / smallest > 1000 || largest > 1e8 || (!whole_ && smallest < 1e-4);
    for (const Scalar& element : elements) {
      if (element.kind() != DType::f64 || counts(element)) width_ = std::max(width_, plain(element).size());
    }
  }

  size_t width() const { return width_; }
  std::string operator()(Scalar element) const {
    const std::string text = plain(element);
    return std::string(width_ - std::min(width_, text.size()), ' ') + text;
  }

 private:
  // Zeros, nan and infinities do not decide how floating elements are written.
  static bool counts(Scalar element) {
    return element.kind() == DType::f64 && std::isfinite(element.as<double>()) && element.as<double>() != 0;
  }
  std::string plain(Scalar element) const {
    if (element.kind() == DType::boolean) return element.as<bool>() ? "True" : "False";
    if (element.kind() == DType::i64) return format("{}", element.as<int64_t>());
    const double value = element.as<double>();
    if (std::isnan(value)) return "nan";
    if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
    if (scientific_) return format("{:.4e}", value);
    return whole_ ? format("{:.0f}.", value) : format("{:.4f}", value);
  }

  bool whole_ = true;
  bool scientific_ = false;
  size_t width_ = 1;
};

// The elements of a tensor on the CPU that are shown, and their text.
class Body {
 public:
  explicit Body(const Tensor& x) : x_(x), summarised_(x.numel() > kThreshold), format_(shown_elements(0, x.offset())) {}

  std::string text(size_t indent) const {
    return x_.dim() == 0 ? format_(element(x_.offset())) : text(0, x_.offset(), indent);
  }

 private:
  static constexpr int64_t kGap = -1;

  // The indices of a dimension that are shown, kGap for those left out.
  std::vector<int64_t> shown(int dim) const {
    const int64_t size = x_.size(dim);
    std::vector<int64_t> out;
    for (int64_t i = 0; i < size; ++i) {
      const bool hidden = summarised_ && size > 2 * kEdge && i >= kEdge && i < size - kEdge;
      if (!hidden)
        out.push_back(i);
      else if (i == kEdge)
        out.push_back(kGap);
    }
    return out;
  }

  Scalar element(int64_t offset) const {
    Scalar out = 0;
    dispatch(AllTypes{}, x_.dtype(), "text", [&]<class T>(Type<T>) {
      const T value = static_cast<const T*>(x_.impl()->storage->data())[offset];
      if constexpr (std::is_same_v<T, bf16> || std::is_same_v<T, f16>)
        out = float(value);
      else
        out = value;
    });
    return out;
  }

  std::vector<Scalar> shown_elements(int dim, int64_t offset) const {
    if (dim == x_.dim()) return {element(offset)};
    std::vector<Scalar> out;
    for (const int64_t i : shown(dim)) {
      if (i == kGap) continue;
      const std::vector<Scalar> part = shown_elements(dim + 1, offset + i * x_.strides()[dim]);
      out.insert(out.end(), part.begin(), part.end());
    }
    return out;
  }

  std::string text(int dim, int64_t offset, size_t indent) const {
    const bool innermost = dim + 1 == x_.dim();
    const size_t per_line = innermost ? std::max<size_t>(1, (kLineWidth - indent) / (format_.width() + 2)) : 1;
    const std::string line_break =
        "," + std::string(size_t(x_.dim() - dim) - (innermost ? 0 : 1), '\n') + std::string(indent + 1, ' ');
    std::string out = "[";
    size_t count = 0;
    for (const int64_t i : shown(dim)) {
      if (count > 0) out += count % per_line == 0 ? line_break : ", ";
      ++count;
      if (i == kGap)
        out += innermost ? " ..." : "...";
      else if (innermost)
        out += format_(element(offset + i * x_.strides()[dim]));
      else
        out += text(dim + 1, offset + i * x_.strides()[dim], indent + 1);
    }
    return out + "]";
  }

  Tensor x_;
  bool summarised_;
  Formatter format_;
};

Tensor on_host(const Tensor& x) {
  if (x.device().is_cpu()) return x;
  const Tensor from = x.is_contiguous() ? x : copy_new(x);
  Tensor host = Tensor::empty(x.shape(), {x.dtype()});
  Stream& stream = current_stream(x.device());
  stream.copy_bytes(host.raw_data(), from.raw_data(), from.bytes());
  stream.synchronize();
  return host;
}

std::string pytorch_name(DType dtype) {
  constexpr std::string_view names[] = {"float32", "float64", "bfloat16", "float16", "int64", "int32", "uint8", "bool"};
  return format("torch.{}", names[size_t(dtype)]);
}

// "log_softmax" is LogSoftmaxBackward0 in PyTorch.
std::string node_name(std::string_view op) {
  std::string out;
  bool upper = true;
  for (const char c : op) {
    if (c == '_') {
      upper = true;
      continue;
    }
    out += upper ? char(std::toupper(c)) : c;
    upper = false;
  }
  return out + "Backward0";
}

std::string size_suffix(const Shape& shape) {
  return format("size=({}{})", join(shape.begin(), shape.end(), ", "), shape.dims() == 1 ? "," : "");
}

// What follows the elements, as PyTorch decides it: only what the elements do not show.
std::vector<std::string> suffixes_of(const Tensor& x) {
  std::vector<std::string> out;
  if (!x.device().is_cpu()) {
    out.push_back(
        format("device='{}'", x.device().is_cuda() ? format("cuda:{}", x.device().index) : x.device().text()));
  }
  const bool no_elements = x.device().is_meta() || x.numel() == 0;
  if (x.device().is_meta() || (no_elements && x.dim() != 1)) out.push_back(size_suffix(x.shape()));
  const bool told =
      x.dtype() == DType::f32 || (!no_elements && (x.dtype() == DType::i64 || x.dtype() == DType::boolean));
  if (!told) out.push_back("dtype=" + pytorch_name(x.dtype()));
  if (!x.is_leaf())
    out.push_back(format("grad_fn=<{}>", node_name(autograd_meta(x).grad_fn->name)));
  else if (x.requires_grad())
    out.push_back("requires_grad=True");
  return out;
}

}  // namespace

std::string Tensor::text() const {
  if (!defined()) return "tensor(undefined)";
  const std::string prefix = "tensor(";
  std::string out = prefix + (device().is_meta() ? "..."
                              : numel() == 0     ? "[]"
                                                 : Body(on_host(*this)).text(prefix.size()));
  size_t line = out.size() - (out.rfind('\n') + 1) + 2;  // PyTorch counts two more than there are
  for (const std::string& suffix : suffixes_of(*this)) {
    if (line + suffix.size() + 2 > kLineWidth) {
      out += ",\n" + std::string(prefix.size(), ' ') + suffix;
      line = prefix.size() + suffix.size();
    } else {
      out += ", " + suffix;
      line += suffix.size() + 2;
    }
  }
  return out + ")";
}

std::ostream& operator<<(std::ostream& out, const Tensor& x) { return out << x.text(); }

}  // namespace rstorch
