// train_in_f64 MODEL PARTS OUT: 100 steps of 16 samples in f64, on as many ranks as there are; losses and weights go to
// the file OUT, one number on a line. Through the library's classes, as a user would write it.
#include <cstdlib>
#include <fstream>
#include <iostream>

#include <rstorch.h>

using namespace rstorch;

namespace {

std::unique_ptr<nn::Module> make_model(const std::string& name) {
  if (name == "mlp")
    return std::make_unique<nn::Sequential>(nn::Flatten(), nn::Linear(192, 32), nn::Tanh(), nn::Linear(32, 3));
  if (name == "cnn") {
    return std::make_unique<nn::Sequential>(nn::Conv2d(3, 8, 3), nn::BatchNorm2d(8), nn::ReLU(), nn::MaxPool2d(2),
                                            nn::Flatten(), nn::Linear(72, 3));
  }
  if (name == "norm") {
    return std::make_unique<nn::Sequential>(nn::Flatten(), nn::Linear(192, 32), nn::LayerNorm(32), nn::GELU(),
                                            nn::Dropout(0.3), nn::Linear(32, 3));
  }
  throw ArgumentError(format("MODEL is `{}`, wanted mlp, cnn or norm", name));
}

void train(const std::string& name, int64_t parts, std::ostream& out) {
  const int ranks = distributed::get_world_size(), rank = distributed::get_rank();
  manual_seed(uint64_t(rank + 1));  // other weights on each rank, until they take over those of rank 0
  std::unique_ptr<nn::Module> made = make_model(name);
  made->to(DType::f64);
  nn::number_layers(*made);
  nn::SyncBatchNorm::convert_sync_batchnorm(*made);
  nn::DistributedDataParallel model(std::move(made));
  optim::SGD sgd(model.parameters(), {.lr = 0.05, .momentum = 0.9});
  const nn::CrossEntropyLoss criterion;

  const data::Random dataset({.shape = {3, 8, 8}, .classes = 3, .size = 80});
  const data::DataLoader loader(dataset, {.batch_size = 16,
                                          .shuffle = true,
                                          .micro_batch_size = 16 / parts / ranks,
                                          .seed = 5,
                                          .rank = rank,
                                          .world = ranks});
  data::BatchStream batches = loader.stream(0, 100);
  for (uint64_t step = 0; const std::optional<data::Batch> batch = batches.next(); ++step) {
    sgd.zero_grad();
    const Tensor total = Tensor::zeros({1}, {.dtype = DType::f64});
    const auto backward = [&](const data::Part& part, int64_t offset) {
      const nn::RandomScope random({.seed = 3, .step = step, .first_sample = uint64_t(part.first)});
      const Tensor x = batch->x.narrow(0, offset, part.size).to(DType::f64);
      const Tensor loss = criterion(model(x), batch->y.narrow(0, offset, part.size)) / double(parts);
      loss.backward();
      Tensor(total).add_(loss.detach());
    };
    int64_t offset = 0;
    for (size_t i = 0; i + 1 < batch->parts.size(); ++i) {
      const auto no_sync = model.no_sync();
      backward(batch->parts[i], offset);
      offset += batch->parts[i].size;
    }
    backward(batch->parts.back(), offset);
    sgd.step();
    distributed::all_reduce(total);
    out << total.item() / ranks << "\n";
  }
  for (const nn::NamedTensor& named : model.state_dict()) {
    for (const double value : named.tensor.to_vector<double>()) out << value << "\n";
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::cerr << "train_in_f64 MODEL PARTS OUT\n";
    return 2;
  }
  distributed::init_process_group();
  std::ofstream out;
  if (distributed::get_rank() == 0) out.open(argv[3]);
  out.precision(17);
  train(argv[1], std::atoll(argv[2]), out);
  return 0;  // the group is left by itself
}
