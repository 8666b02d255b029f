// Training on many ranks, as one would in PyTorch: mpirun -n 2 ./distributed_data_parallel
#include <iostream>

#include <rstorch.h>

using namespace rstorch;

int main(int argc, char** argv) {
  distributed::init_process_group();
  const int rank = distributed::get_rank(), world_size = distributed::get_world_size();

  const data::MNIST train({.path = argc > 1 ? argv[1] : "datasets/digits"});
  // 64 samples a step over all ranks; each loads its share.
  data::DataLoader loader(train,
                          {.batch_size = 64, .shuffle = true, .drop_last = true, .rank = rank, .world = world_size});

  const int64_t pixels = train.spec().x_shape.numel();
  nn::DistributedDataParallel model(
      nn::Sequential(nn::Flatten(), nn::Linear(pixels, 64), nn::BatchNorm1d(64), nn::ReLU(), nn::Linear(64, 10)));
  nn::SyncBatchNorm::convert_sync_batchnorm(model);
  const nn::CrossEntropyLoss criterion;
  optim::SGD optimizer(model.parameters(), {.lr = 0.1, .momentum = 0.9});

  Tensor loss;
  for (int epoch = 0; epoch < 5; ++epoch) {
    for (const data::Batch& batch : loader) {
      optimizer.zero_grad();
      loss = criterion(model(batch.x), batch.y);
      loss.backward();  // gradients are means over all ranks now
      optimizer.step();
    }
    const Tensor mean = loss.detach();
    distributed::all_reduce(mean);
    if (rank == 0) std::cout << "epoch " << epoch << ": loss " << mean.item() / world_size << "\n";
  }
  const bool learnt = loss.item() < 0.5;
  distributed::destroy_process_group();
  return learnt ? 0 : 1;
}
