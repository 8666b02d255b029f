// Help for a place in a config, or for a kind: `trainer.max_epochs`, `data.batch_size`, `AdamW`, `optimizer.AdamW.lr`.
#pragma once

#include <string>

namespace rstorch::cli {

// An empty path: the sections. Throws UsageError with a suggestion for a name that is not known.
std::string explain(const std::string& path);

}  // namespace rstorch::cli
