// Batch normalisation (Ioffe & Szegedy 2015): each channel is normalised over the batch and all other axes.
#pragma once

#include "nn/arguments.h"
#include "nn/layer.h"
#include "ops/batch_peers.h"

namespace rstorch::nn {

// What BatchNorm1d and BatchNorm2d share.
class BatchNorm : public Module {
 public:
  struct Config {
    std::optional<int64_t> num_features = {};
    double eps = 1e-5;
    std::optional<double> momentum = 0.1;
    bool affine = true;
    bool track_running_stats = true;
    static void describe(auto& field) {
      field("num_features", &Config::num_features, "Channels; inferred.", positive);
      field("eps", &Config::eps, "Added to the variance.", positive);
      field("momentum", &Config::momentum, "Weight of a batch in the running statistics; null: their plain mean.",
            in_range(0.0, 1.0));
      field("affine", &Config::affine, "Scale and shift each channel by learnt numbers.");
      field("track_running_stats", &Config::track_running_stats, "Keep statistics for evaluation.");
    }
    void infer(Inference& input) { input.size("num_features", num_features, 1, "channels"); }
  };

  Tensor forward(const Tensor& x) override;
  void reset_parameters() override;
  // In training, normalises over the samples of all ranks, as PyTorch's SyncBatchNorm; without peers, over its own
  // again.
  void synchronize(std::shared_ptr<BatchPeers> peers) { peers_ = std::move(peers); }

  Tensor& weight;               // [num_features], or undefined
  Tensor& bias;                 // [num_features], or undefined
  Tensor& running_mean;         // [num_features], or undefined
  Tensor& running_var;          // [num_features], or undefined
  Tensor& num_batches_tracked;  // i64, 0-d, or undefined

 protected:
  // min_dims, max_dims: axes that an input may have, the batch included.
  BatchNorm(std::string_view kind, const Config& config, int min_dims, int max_dims);

 private:
  std::string_view kind_;
  int min_dims_;
  int max_dims_;
  double eps_;
  std::optional<double> momentum_;
  std::shared_ptr<BatchPeers> peers_;
};

// Synchronizes every BatchNorm of a model; how many there are.
int64_t synchronize_batch_norm(Module& model, const std::shared_ptr<BatchPeers>& peers);

class BatchNorm1d final : public BatchNorm {
 public:
  static constexpr std::string_view kind = "BatchNorm1d";
  static constexpr std::string_view help =
      "Normalises each feature of [features] or [channels, length] over the batch.";
  explicit BatchNorm1d(int64_t num_features) : BatchNorm1d(Config{num_features}) {}
  explicit BatchNorm1d(const Config& config) : BatchNorm(kind, config, 2, 3) {}
};

class BatchNorm2d final : public BatchNorm {
 public:
  static constexpr std::string_view kind = "BatchNorm2d";
  static constexpr std::string_view help = "Normalises each channel of [channels, height, width] over the batch.";
  explicit BatchNorm2d(int64_t num_features) : BatchNorm2d(Config{num_features}) {}
  explicit BatchNorm2d(const Config& config) : BatchNorm(kind, config, 4, 4) {}
};

}  // namespace rstorch::nn
