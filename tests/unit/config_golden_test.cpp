// The texts of config errors. Each tests/golden/config/NAME.yaml is read as a small training program, and what the user
// would see must equal NAME.txt. A first line `# arguments: a=1 ~b` gives command-line overrides (separated by ` ; `).
// RSTORCH_UPDATE_GOLDEN=1 writes the .txt files anew: read the difference before committing it.
#include <algorithm>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <doctest/doctest.h>

#include "config/config.h"
#include "tests/sanitized.h"

namespace fs = std::filesystem;

// The cast of a training program, as the library's own folders would write it.
namespace rstorch::golden {

enum class Mode { min, max };
constexpr auto names_of(Mode) { return config::names<Mode>({{Mode::min, "min"}, {Mode::max, "max"}}); }
enum class Precision { fp32, tf32, bf16, fp16 };
constexpr auto names_of(Precision) {
  using enum Precision;
  return config::names<Precision>({{fp32, "fp32"}, {tf32, "tf32"}, {bf16, "bf16"}, {fp16, "fp16"}});
}

struct Part {
  virtual ~Part() = default;
};

struct Linear final : Part {
  struct Config {
    int64_t out_features = 1;
    std::optional<int64_t> in_features;
    bool bias = true;
    static void describe(auto& field) {
      field("out_features", &Config::out_features, "Width of the output.", required, positive);
      field("in_features", &Config::in_features, "Width of the input; inferred when left out.", positive);
      field("bias", &Config::bias, "Adds a learnt bias.");
    }
  };
  explicit Linear(const Config&) {}
};

struct Conv2d final : Part {
  struct Config {
    int64_t out_channels = 1;
    config::Pair kernel_size = {3, 3};
    config::Pair stride = {1, 1};
    config::Pair padding = {0, 0};
    bool bias = true;
    static void describe(auto& field) {
      field("out_channels", &Config::out_channels, "Number of filters.", required, positive);
      field("kernel_size", &Config::kernel_size, "Height and width of a filter.", each(positive));
      field("stride", &Config::stride, "Step of the filter.", each(positive));
      field("padding", &Config::padding, "Zeros added on each side.", each(non_negative));
      field("bias", &Config::bias, "Adds a learnt bias.");
    }
  };
  explicit Conv2d(const Config&) {}
};

struct Dropout final : Part {
  struct Config {
    double p = 0.5;
    static void describe(auto& field) { field("p", &Config::p, "Probability of a zero.", in_half_open(0, 1)); }
  };
  explicit Dropout(const Config&) {}
};

struct Flatten final : Part {};
struct ReLU final : Part {};
struct CrossEntropyLoss final : Part {
  struct Config {
    double label_smoothing = 0;
    static void describe(auto& field) {
      field("label_smoothing", &Config::label_smoothing, "Share spread over all classes.", in_range(0, 1));
    }
  };
  explicit CrossEntropyLoss(const Config&) {}
};
struct MSELoss final : Part {};

struct AdamW final : Part {
  struct Config {
    double lr = 1e-3;
    std::array<double, 2> betas = {0.9, 0.999};
    double eps = 1e-8;
    double weight_decay = 1e-2;
    static void describe(auto& field) {
      field("lr", &Config::lr, "Step size.", positive);
      field("betas", &Config::betas, "Decay of the averages.", each(in_half_open(0, 1)));
      field("eps", &Config::eps, "Added to the denominator.", positive);
      field("weight_decay", &Config::weight_decay, "Decoupled decay, times lr.", non_negative);
    }
  };
  explicit AdamW(const Config&) {}
};

struct SGD final : Part {
  struct Config {
    double lr = 1e-2;
    double momentum = 0;
    bool nesterov = false;
    double weight_decay = 0;
    static void describe(auto& field) {
      field("lr", &Config::lr, "Step size.", positive);
      field("momentum", &Config::momentum, "Share of the last step.", in_half_open(0, 1));
      field("nesterov", &Config::nesterov, "Looks one step ahead.");
      field("weight_decay", &Config::weight_decay, "L2 penalty.", non_negative);
    }
    void validate(const config::Value& at, config::Report& report) const {
      if (!nesterov || momentum > 0) return;
      report.error(config::Code::conflict, "Nesterov's method needs momentum")
          .entry(at.at("nesterov"))
          .help("add `momentum: 0.9`, or remove `nesterov`");
    }
  };
  explicit SGD(const Config&) {}
};

using R = config::Registry<Part>;
constexpr R::Entry layer_table[] = {R::entry<Conv2d>("Conv2d", "Convolution over images."),
                                    R::entry<Dropout>("Dropout", "Zeroes values at random."),
                                    R::entry<Flatten>("Flatten", "One axis of all."),
                                    R::entry<Linear>("Linear", "y = x A^T + b."), R::entry<ReLU>("ReLU", "max(x, 0).")};
constexpr R layers("layer", layer_table);
constexpr R::Entry loss_table[] = {R::entry<CrossEntropyLoss>("CrossEntropyLoss", "Softmax and log-likelihood."),
                                   R::entry<MSELoss>("MSELoss", "Mean squared error.")};
constexpr R losses("loss", loss_table);
constexpr R::Entry optimizer_table[] = {R::entry<AdamW>("AdamW", "Adam with decoupled weight decay."),
                                        R::entry<SGD>("SGD", "Stochastic gradient descent.")};
constexpr R optimizers("optimizer", optimizer_table);

struct Run {
  std::string name = "run";
  std::string dir = "runs";
  static void describe(auto& field) {
    field("name", &Run::name, "Name of the run folder.", non_empty);
    field("dir", &Run::dir, "Where run folders are made.");
  }
};

struct Data {
  std::string path;
  int64_t batch_size = 64;
  int num_workers = 0;
  bool shuffle = true;
  static void describe(auto& field) {
    field("path", &Data::path, "Folder or file.", required, non_empty);
    field("batch_size", &Data::batch_size, "Samples of one update.", positive);
    field("num_workers", &Data::num_workers, "Threads that read.", in_range(0, 256));
    field("shuffle", &Data::shuffle, "A new order each epoch.");
  }
};

struct Model {
  std::vector<int64_t> input;
  std::vector<config::Value> layers;
  std::map<std::string, config::Value> blocks;
  static void describe(auto& field) {
    field("input", &Model::input, "Shape of one sample.", non_empty, each(positive));
    field("layers", &Model::layers, "The chain of layers.", required, non_empty);
    field("blocks", &Model::blocks, "Reusable parts.");
  }
};

struct EarlyStopping {
  std::string metric = "val.loss";
  Mode mode = Mode::min;
  config::Duration patience = config::Duration::epochs(5);
  static void describe(auto& field) {
    field("metric", &EarlyStopping::metric, "What to watch.");
    field("mode", &EarlyStopping::mode, "Whether less or more is better.");
    field("patience", &EarlyStopping::patience, "How long to wait.", default_unit(config::Unit::epochs), positive);
  }
};

struct Trainer {
  std::optional<int64_t> max_epochs;
  std::optional<config::Duration> max_time;
  Precision precision = Precision::fp32;
  std::optional<double> clip_grad_norm;
  std::optional<EarlyStopping> early_stopping;
  config::Duration log_every = config::Duration::steps(50);
  static void describe(auto& field) {
    field("max_epochs", &Trainer::max_epochs, "Passes over the data.", positive);
    field("max_time", &Trainer::max_time, "Wall-clock limit.", config::units(config::Unit::seconds), positive);
    field("precision", &Trainer::precision, "Arithmetic of the model.");
    field("clip_grad_norm", &Trainer::clip_grad_norm, "Largest norm of the gradient.", positive);
    field("early_stopping", &Trainer::early_stopping, "Ends when nothing improves.");
    field("log_every", &Trainer::log_every, "How often to log.",
          config::units(config::Unit::steps, config::Unit::epochs), positive);
  }
};

struct Program {
  int64_t rstorch = 1;
  int64_t seed = 0;
  Run run;
  Data data;
  Model model;
  config::Value loss;
  config::Value optimizer;
  Trainer trainer;
  std::map<std::string, std::string> expect;
  static void describe(auto& field) {
    field("rstorch", &Program::rstorch, "Schema version.", one_of(1));
    field("seed", &Program::seed, "Of every random draw.", non_negative);
    field("run", &Program::run, "The run folder.");
    field("data", &Program::data, "What to train on.", required);
    field("model", &Program::model, "The layers.", required);
    field("loss", &Program::loss, "What to minimise.", required, kind_of([]() -> const config::KindTable& {
            static const config::KindTable table = losses.kinds();
            return table;
          }));
    field("optimizer", &Program::optimizer, "How to step.", required);
    field("trainer", &Program::trainer, "The loop.");
    field("expect", &Program::expect, "Bounds that the result must keep.");
  }
};

// Everything that is wrong, or the resolved program.
std::string outcome(const fs::path& file, const std::vector<std::string>& arguments) {
  config::Report report;
  config::LoadOptions options;
  options.environment = [](const std::string& name) -> std::optional<std::string> {
    return name == "DATA" ? std::optional<std::string>("/data") : std::nullopt;
  };
  const config::Value value = config::load(file, arguments, report, options);
  const auto program = config::read<Program>(value, report);
  config::Value resolved = config::adopt_origins(config::write(program), value);
  const auto kind = [&](const R& registry, const char* key, const config::Value& given) {
    if (value.has(key)) resolved.set(key, registry.resolved(given, report));
  };
  kind(losses, "loss", program.loss);
  kind(optimizers, "optimizer", program.optimizer);
  for (const config::Value& layer : program.model.layers) layers.read(layer, report, {.also = {"from", "as"}});
  return report.ok() ? config::dump_with_origins(resolved) : report.render() + "\n";
}

}  // namespace rstorch::golden

namespace {

std::string slurp(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(in), {});
}

std::vector<std::string> arguments_of(const std::string& text) {
  constexpr std::string_view head = "# arguments: ";
  std::vector<std::string> out;
  if (!text.starts_with(head)) return out;
  std::string line = text.substr(head.size(), text.find('\n') - head.size());
  for (size_t at; (at = line.find(" ; ")) != std::string::npos; line.erase(0, at + 3))
    out.push_back(line.substr(0, at));
  out.push_back(line);
  return out;
}

}  // namespace

TEST_CASE("config errors read as in tests/golden/config") {
  const char* root = std::getenv("RSTORCH_SOURCE_DIR");
  const fs::path before = fs::current_path();
  fs::current_path(fs::path(root ? root : ".") / "tests/golden/config");
  const bool update = std::getenv("RSTORCH_UPDATE_GOLDEN") != nullptr;
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(".")) {
    if (entry.path().extension() == ".yaml") files.push_back(entry.path().filename());
  }
  std::sort(files.begin(), files.end());
  CHECK(files.size() >= 30);
  for (const fs::path& file : files) {
    CAPTURE(file.string());
    const std::vector<std::string> arguments = arguments_of(slurp(file));
    const std::clock_t begin = std::clock();  // of the processor: others may be using the machine
    const std::string got = rstorch::golden::outcome(file, arguments);
    const double milliseconds = 1e3 * static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
    CHECK(milliseconds < 50 * rstorch::kSlowdown);
    const fs::path expected = fs::path(file).replace_extension(".txt");
    if (update) std::ofstream(expected, std::ios::binary) << got;
    CHECK(got == slurp(expected));
    // The promise of issue 2: a place and a hint in every error.
    if (got.starts_with("error"))
      CHECK((got.find("--> ") != std::string::npos || got.find("help:") != std::string::npos));
  }
  fs::current_path(before);
}
