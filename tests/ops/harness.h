// What ops_test does with a case.
#pragma once

#include "op_case.h"

namespace rstorch::testing {

// Every case whose title contains the selected text; all, if none was selected.
std::vector<OpCase> all_cases();
void select_cases(std::string text);

enum class Layout { contiguous, transposed, sliced, expanded, channels_last };
enum class Size { normal, empty, large };

bool has_size(const OpCase& op_case, Size size);
// Fresh inputs, the same for every call. Floating ones are of `dtype`, contiguous, and require grad where the case says
// so.
std::vector<Tensor> make_inputs(const OpCase& op_case, DType dtype, Size size = Size::normal);
// The inputs that may have any layout, in this one. Recorded by autograd; `expanded` repeats the first slice.
std::vector<Tensor> in_layout(const OpCase& op_case, const std::vector<Tensor>& inputs, Layout layout);
// False where no input would change.
bool changes_layout(const OpCase& op_case, const std::vector<Tensor>& inputs, Layout layout);

Array to_array(const Tensor& x);
Tolerance tolerance_of(const OpCase& op_case, DType dtype);
// Empty, or where and how `got` differs; nan equals nan.
std::string difference(const Array& got, const Array& wanted, Tolerance tolerance);

// A forward pass and, where the case has gradients, a backward pass with a fixed random cotangent.
struct Pass {
  Tensor y;
  std::vector<Tensor> grads;  // of the inputs; undefined for those without
};
Pass run_pass(const OpCase& op_case, const std::vector<Tensor>& inputs);

// Prints a line per case that has large inputs: time, GB/s or GFLOP/s, forward and with backward.
void run_benchmark();

}  // namespace rstorch::testing
