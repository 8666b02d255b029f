// Predictions of a saved model over a dataset, one line for each sample, in the order of the data.
//
// JSONL: {"index": 0, "logits": [...], "prediction": 3, "target": 3}; a model that predicts numbers has "outputs" and
// no "prediction". CSV: index, prediction, target, then one column for each output. Classes are named where the data
// names them. "target" is there where the data has one.
#pragma once

#include <optional>
#include <string>

#include "train/saved_model.h"

namespace rstorch {

enum class PredictionFormat { csv, jsonl };

// By the name of the file: .csv, .jsonl or .json.
std::optional<PredictionFormat> prediction_format(const files::Path& file);

// Writes the file, which appears when it is complete. Returns the number of samples.
int64_t write_predictions(const SavedModel& saved, const files::Path& file, PredictionFormat format);

}  // namespace rstorch
