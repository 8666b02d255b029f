#include "nn/losses.h"

#include "nn/bce_with_logits_loss.h"
#include "nn/cross_entropy_loss.h"
#include "nn/mse_loss.h"

namespace rstorch::nn {

const LossRegistry& losses() {
  using R = LossRegistry;
  static constexpr R::Entry table[] = {
      R::entry<BCEWithLogitsLoss>("BCEWithLogitsLoss", "Binary cross-entropy of sigmoid(input)."),
      R::entry<CrossEntropyLoss>("CrossEntropyLoss", "Cross-entropy of softmax(input) and class indices."),
      R::entry<MSELoss>("MSELoss", "Mean squared error."),
  };
  static constexpr R registry("loss", table);
  return registry;
}

}  // namespace rstorch::nn
