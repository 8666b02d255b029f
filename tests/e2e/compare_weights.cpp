// compare_weights A B LIMIT: whether two checkpoints' weights differ by at most LIMIT, as ||a - b|| / ||a||.
#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "ops/ops.h"
#include "train/checkpoint.h"

using namespace rstorch;

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  const Checkpoint a(argv[1]), b(argv[2]);
  double error = 0, size = 0;
  for (const NamedTensor& named : a.model().tensors()) {
    const Tensor x = named.tensor.to(DType::f64), y = b.model().tensor(named.name).to(DType::f64);
    error += (x - y).pow(2).sum().item();
    size += x.pow(2).sum().item();
  }
  const double difference = std::sqrt(error / size);
  std::printf("%.2e\n", difference);
  return difference <= std::atof(argv[3]) ? 0 : 1;
}
