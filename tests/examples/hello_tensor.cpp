// Tensors, broadcasting and printing.
#include <iostream>

#include <rstorch.h>

using namespace rstorch;

int main() {
  const Tensor a = Tensor::from({0.0, 0.5, 1.0});
  const Tensor b = Tensor::ones({2, 1});
  std::cout << (a + b).sin() << "\n";

  Tensor x = Tensor::arange(3.0);
  x.set_requires_grad(true);
  (x * x).sum().backward();
  std::cout << "d(x * x)/dx = " << x.grad() << "\n";
}
