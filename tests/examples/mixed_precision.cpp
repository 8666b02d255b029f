// The same text on the CPU and on a GPU: tensors move with to(device), all else stays as it is. On a GPU the model is
// trained in f16 with loss scaling, from weights in f32.
#include <cstdio>

#include <rstorch.h>

using namespace rstorch;

int main() {
  const Device device = cuda::is_available() ? Device("cuda") : Device("cpu");
  const Tensor d = Tensor::ones({256, 256}).to(device), e = d.matmul(d);
  std::printf("%s: the sum of a product of ones is %.0f\n", device.text().c_str(), e.sum().item());
  if (e.sum().item() != 256.0 * 256 * 256) return 1;

  // y = 3 x - 1 and noise, as a network of one hidden layer sees it.
  manual_seed(1);
  const Tensor x = Tensor::rand({256, 1}).to(device), y = 3 * x - 1 + 0.01 * Tensor::randn({256, 1}).to(device);
  nn::Sequential model(nn::Linear(1, 16), nn::ReLU(), nn::Linear(16, 1));
  model.to(device);
  optim::Adam adam(model.parameters(), {.lr = 0.03});
  optim::GradScaler scaler(device);
  const nn::MSELoss criterion;
  double last = 0;
  for (int step = 0; step < 150; ++step) {
    adam.zero_grad();
    Tensor loss;
    {
      const Autocast autocast(DType::f16);
      loss = criterion(model(x), y);
    }
    scaler.scale(loss).backward();
    scaler.step(adam);
    scaler.update();
    if (step % 50 == 49) std::printf("step %3d  loss %.5f\n", step + 1, last = loss.item());
  }
  return last < 0.005 ? 0 : 1;
}
