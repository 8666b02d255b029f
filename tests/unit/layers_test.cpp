// The layer table of src/README.md, checked against the #include lines of the tree.
#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace fs = std::filesystem;

namespace {

using Names = std::set<std::string>;

// folder -> what it may include beside itself
const std::map<std::string, Names> layers = {
    {"base", {}},
    {"kernels", {"base"}},
    {"tensor", {"base", "kernels"}},
    {"autograd", {"base", "tensor"}},
    {"ops", {"base", "tensor", "autograd", "kernels"}},
    {"config", {"base"}},
    {"nn", {"base", "tensor", "autograd", "ops", "config"}},
    {"optim", {"base", "tensor", "autograd", "kernels", "config", "nn"}},
    {"data", {"base", "tensor", "config"}},
    {"dist", {"base", "tensor", "autograd", "nn", "optim"}},
    {"train", {"base", "kernels", "tensor", "autograd", "ops", "config", "nn", "optim", "data", "dist"}},
    {"cli", {"base", "kernels", "tensor", "autograd", "ops", "config", "nn", "optim", "data", "dist", "train"}},
};

// third-party header -> the folders it may appear in
const std::map<std::string, Names> third_party = {
    {"spdlog/", {"base"}},         {"fmt/", {"base"}},
    {"dnnl", {"kernels/cpu"}},     {"cuda", {"kernels/cuda"}},
    {"cublas", {"kernels/cuda"}},  {"cudnn", {"kernels/cuda"}},
    {"nccl", {"kernels/cuda"}},    {"yaml-cpp/", {"config"}},
    {"libdeflate", {"data"}},      {"jpeglib", {"data"}},
    {"png.h", {"data"}},           {"mpi.h", {"dist"}},
    {"nlohmann/", {"train"}},      {"CLI/", {"cli"}},
    {"xxhash", {"train"}},
};

fs::path source_root() {
  const char* root = std::getenv("RSTORCH_SOURCE_DIR");
  return root ? root : ".";
}

struct Include {
  fs::path file;  // relative to the root
  std::string text;
  bool quoted;
};

std::vector<Include> includes_below(const fs::path& folder) {
  std::vector<Include> out;
  for (const auto& entry : fs::recursive_directory_iterator(source_root() / folder)) {
    const std::string extension = entry.path().extension();
    if (extension != ".h" && extension != ".cpp" && extension != ".cu" && extension != ".cuh") continue;
    std::ifstream in(entry.path());
    for (std::string line; std::getline(in, line);) {
      if (line.rfind("#include", 0) != 0) continue;
      const size_t open = line.find_first_of("<\"");
      const size_t close = line.find_first_of(">\"", open + 1);
      if (open == std::string::npos || close == std::string::npos) continue;
      out.push_back({fs::relative(entry.path(), source_root()), line.substr(open + 1, close - open - 1), line[open] == '"'});
    }
  }
  return out;
}

// "src/nn/linear.h" -> "nn", "kernels/cpu/conv.cpp" -> "kernels"; empty for files outside the table (src/rstorch.h).
std::string layer_of(const fs::path& file) {
  auto part = file.begin();
  if (*part == "kernels") return "kernels";
  ++part;
  return std::next(part) == file.end() ? "" : part->string();
}

}  // namespace

TEST_CASE("includes follow the layer table") {
  size_t checked = 0;
  for (const char* folder : {"src", "kernels"}) {
    for (const Include& include : includes_below(folder)) {
      const std::string from = layer_of(include.file);
      if (from.empty() || !include.quoted) continue;
      const std::string to = include.text.substr(0, include.text.find('/'));
      REQUIRE_MESSAGE(layers.count(from) == 1, "no layer: " << include.file.string());
      CAPTURE(include.file.string());
      CAPTURE(include.text);
      CHECK_MESSAGE((to == from || layers.at(from).count(to) == 1), "an include against the layer table");
      ++checked;
    }
  }
  CHECK(checked > 100);
}

TEST_CASE("third-party headers stay in their folders") {
  for (const char* folder : {"src", "kernels"}) {
    for (const Include& include : includes_below(folder)) {
      if (include.quoted) continue;
      for (const auto& [prefix, allowed] : third_party) {
        if (include.text.rfind(prefix, 0) != 0) continue;
        const std::string file = include.file.string();
        bool inside = false;
        for (const std::string& place : allowed) {
          inside |= file.rfind("src/" + place + "/", 0) == 0 || file.rfind(place + "/", 0) == 0;
        }
        CAPTURE(file);
        CAPTURE(include.text);
        CHECK_MESSAGE(inside, "a third-party header outside its folder");
      }
    }
  }
}
