#include "train/kinds.h"

#include "data/data.h"
#include "nn/init.h"
#include "nn/layer_tree.h"
#include "nn/losses.h"
#include "optim/optimizers.h"
#include "optim/schedule.h"
#include "train/metric.h"

namespace rstorch {

const config::KindTable& layer_kinds() { return nn::layer_kinds(); }
const config::KindTable& initializer_kinds() {
  static const config::KindTable table = nn::init::initializers().kinds();
  return table;
}
const config::KindTable& loss_kinds() {
  static const config::KindTable table = nn::losses().kinds();
  return table;
}
const config::KindTable& optimizer_kinds() {
  static const config::KindTable table = optim::optimizers().kinds();
  return table;
}
const config::KindTable& schedule_kinds() {
  static const config::KindTable table = optim::schedules().kinds();
  return table;
}

std::vector<KindList> all_kinds() {
  return {{"layers", "model.layers", &layer_kinds()},
          {"initializers", "model.init", &initializer_kinds()},
          {"losses", "loss", &loss_kinds()},
          {"metrics", "metrics", &metric_kinds()},
          {"optimizers", "optimizer", &optimizer_kinds()},
          {"schedules", "lr_scheduler", &schedule_kinds()},
          {"datasets", "data", &data::dataset_kinds()},
          {"transforms", "data.transforms", &data::transform_kinds()}};
}

}  // namespace rstorch
