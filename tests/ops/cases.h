// The lists of cases, one per family; ops_test.cpp puts them together.
#pragma once

#include "op_case.h"

namespace rstorch::testing {

std::vector<OpCase> unary_cases();
std::vector<OpCase> binary_cases();
std::vector<OpCase> reduce_cases();
std::vector<OpCase> shape_cases();
std::vector<OpCase> indexing_cases();

}  // namespace rstorch::testing
