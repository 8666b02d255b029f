#pragma once

#include <string>
#include <vector>

namespace rstorch::cli {

// As a shell reads it back.
std::string shell_word(const std::string& word);
std::string shell_line(const std::vector<std::string>& words);

}  // namespace rstorch::cli
