// One function per family of kernels: fills the `cuda` pointers of the program's kernels.
#pragma once

namespace rstorch::kernels {

void install_unary();
void install_unary_backward();
void install_binary();
void install_binary_backward();
void install_copy();
void install_where();
void install_random();
void install_matmul();
void install_linear();
void install_conv();
void install_softmax();
void install_attention();
void install_sum();
void install_extreme();
void install_loss();
void install_batch_norm();
void install_layer_norm();
void install_optim();
void install_pool();
void install_dropout();
void install_indexing();

}  // namespace rstorch::kernels
