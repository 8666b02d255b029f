// The training loop of PyTorch's MNIST example, on the bundled digits: run it where datasets/ is, or name another
// folder.
#include <iostream>

#include <rstorch.h>

using namespace rstorch;

double test_accuracy(nn::Module& model, const data::Dataset& dataset) {
  const NoGrad no_grad;
  model.eval();
  int64_t correct = 0;
  data::DataLoader loader(dataset, {.batch_size = 256});
  for (const data::Batch& batch : loader) {
    correct += (model(batch.x).argmax(1) == batch.y).sum().item<int64_t>();
  }
  return double(correct) / double(dataset.size());
}

int main(int argc, char** argv) {
  const std::string folder = argc > 1 ? argv[1] : "datasets/digits";
  const data::MNIST train({.path = folder});
  const data::MNIST test({.path = folder, .split = data::MNIST::Split::test});
  data::DataLoader loader(train, {.batch_size = 64, .shuffle = true, .num_workers = 1});

  manual_seed(1);
  const int64_t pixels = train.spec().x_shape.numel();
  nn::Sequential model(nn::Flatten(), nn::Linear(pixels, 128), nn::ReLU(), nn::Linear(128, 10));
  const nn::CrossEntropyLoss criterion;
  optim::AdamW optimizer(model.parameters(), {.lr = 1e-2});

  for (int epoch = 0; epoch < 8; ++epoch) {
    model.train();
    Tensor loss;
    for (const data::Batch& batch : loader) {
      optimizer.zero_grad();
      loss = criterion(model(batch.x), batch.y);
      loss.backward();
      optimizer.step();
    }
    std::cout << "epoch " << epoch << ": loss " << loss.item() << ", test accuracy " << test_accuracy(model, test)
              << "\n";
  }
  return test_accuracy(model, test) >= 0.85 ? 0 : 1;
}
