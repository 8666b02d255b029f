// Fits y = 3x - 2, as one would in PyTorch.
#include <iostream>

#include <rstorch.h>

using namespace rstorch;

int main() {
  manual_seed(1);
  const Tensor x = Tensor::randn({64, 1});
  const Tensor y = 3 * x - 2;

  nn::Linear model(1, 1);
  const nn::MSELoss loss;
  optim::SGD sgd(model.parameters(), {.lr = 0.1});
  for (int step = 0; step < 100; ++step) {
    sgd.zero_grad();
    loss(model(x), y).backward();
    sgd.step();
  }

  std::cout << "y = " << model.weight.item() << " x + " << model.bias.item() << "\n";
  const bool learnt = std::abs(model.weight.item() - 3) < 1e-3 && std::abs(model.bias.item() + 2) < 1e-3;
  return learnt ? 0 : 1;
}
