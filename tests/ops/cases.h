// The lists of cases, one per family of ops. A new family: a line in each list here, a file NAME_cases.cpp in
// meson.build.
#pragma once

#include "op_case.h"

namespace rstorch::testing {

std::vector<OpCase> unary_cases();
std::vector<OpCase> binary_cases();
std::vector<OpCase> reduce_cases();
std::vector<OpCase> shape_cases();
std::vector<OpCase> indexing_cases();
std::vector<OpCase> attention_cases();
std::vector<OpCase> conv_cases();
std::vector<OpCase> dropout_cases();
std::vector<OpCase> loss_cases();
std::vector<OpCase> matmul_cases();
std::vector<OpCase> norm_cases();
std::vector<OpCase> pool_cases();
std::vector<OpCase> softmax_cases();

inline constexpr std::vector<OpCase> (*kFamilies[])() = {
    unary_cases,   binary_cases, reduce_cases, shape_cases, indexing_cases, attention_cases, conv_cases,
    dropout_cases, loss_cases,   matmul_cases, norm_cases,  pool_cases,     softmax_cases,
};

}  // namespace rstorch::testing
