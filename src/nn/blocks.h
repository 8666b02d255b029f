// `model.blocks`: layers with parameters, under a name.
//
//   blocks: {basic: {params: {c: ~, stride: 1}, layers: [...]}}     # ~ marks a required parameter
//   use:    {block: {basic: {c: 64}}}   or, without parameters,   {block: basic}
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "config/report.h"
#include "config/value.h"

namespace rstorch::nn {

struct BlockUse {
  std::string name;
  config::Value layers;  // with the parameters put in
};

class Blocks {
 public:
  // What is wrong with the declarations goes to the report.
  Blocks(const std::map<std::string, config::Value>& blocks, config::Report& report);

  // The layers of one use. Nothing, and an error in the report, for an unknown block, a block inside itself (`open`:
  // those being expanded), and parameters that are unknown or missing.
  std::optional<BlockUse> expand(const config::Value& use, const std::vector<std::string>& open,
                                 config::Report& report) const;

 private:
  struct Block {
    config::Value params = config::Value::map();
    config::Value layers;
  };
  std::map<std::string, Block> blocks_;
};

}  // namespace rstorch::nn
