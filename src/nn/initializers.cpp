// Every initialiser that a config can name: the functions of init.h with their arguments as fields.
#include "nn/init.h"

namespace rstorch::nn::init {
namespace {

template <auto fill>
class Fixed final : public Initializer {
 public:
  void apply(const Tensor& x) const override { fill(x); }
};

class Constant final : public Initializer {
 public:
  struct Config {
    double val = 0;
    static void describe(auto& field) { field("val", &Config::val, "The value of every element.", required); }
  };
  explicit Constant(const Config& config) : config_(config) {}
  void apply(const Tensor& x) const override { constant_(x, config_.val); }

 private:
  Config config_;
};

class Uniform final : public Initializer {
 public:
  struct Config {
    double a = 0;
    double b = 1;
    static void describe(auto& field) {
      field("a", &Config::a, "Lower bound.");
      field("b", &Config::b, "Upper bound.");
    }
  };
  explicit Uniform(const Config& config) : config_(config) {}
  void apply(const Tensor& x) const override { uniform_(x, config_.a, config_.b); }

 private:
  Config config_;
};

class Normal final : public Initializer {
 public:
  struct Config {
    double mean = 0;
    double std = 1;
    static void describe(auto& field) {
      field("mean", &Config::mean, "Mean.");
      field("std", &Config::std, "Standard deviation.", non_negative);
    }
  };
  explicit Normal(const Config& config) : config_(config) {}
  void apply(const Tensor& x) const override { normal_(x, config_.mean, config_.std); }

 private:
  Config config_;
};

class TruncatedNormal final : public Initializer {
 public:
  struct Config : TruncNormal {
    static void describe(auto& field) {
      field("mean", &Config::mean, "Mean before truncation.");
      field("std", &Config::std, "Standard deviation before truncation.", positive);
      field("a", &Config::a, "Smallest value.");
      field("b", &Config::b, "Largest value.");
    }
    void validate(const config::Value& at, config::Report& report) const {
      if (a < b) return;
      report.error(config::Code::out_of_range, "trunc_normal: a must be less than b")
          .at(at)
          .label(format("{} to {}", a, b));
    }
  };
  explicit TruncatedNormal(const Config& config) : config_(config) {}
  void apply(const Tensor& x) const override { trunc_normal_(x, config_); }

 private:
  Config config_;
};

template <auto fill>
class KaimingInit final : public Initializer {
 public:
  struct Config : Kaiming {
    static void describe(auto& field) {
      field("a", &Config::a, "Negative slope of the leaky_relu that follows.");
      field("mode", &Config::mode, "What keeps its variance: activations (fan_in) or gradients (fan_out).");
      field("nonlinearity", &Config::nonlinearity, "What follows the layer.");
    }
  };
  explicit KaimingInit(const Config& config) : config_(config) {}
  void apply(const Tensor& x) const override { fill(x, config_); }

 private:
  Config config_;
};

// xavier and orthogonal.
template <auto fill>
class GainInit final : public Initializer {
 public:
  struct Config {
    double gain = 1;
    static void describe(auto& field) { field("gain", &Config::gain, "Scale."); }
  };
  explicit GainInit(const Config& config) : config_(config) {}
  void apply(const Tensor& x) const override { fill(x, config_.gain); }

 private:
  Config config_;
};

using R = InitializerRegistry;
constexpr R::Entry table[] = {
    R::entry<Constant>("constant", "One value everywhere."),
    R::entry<KaimingInit<&kaiming_normal_>>("kaiming_normal",
                                            "Normal, variance kept through rectifiers (He et al. 2015)."),
    R::entry<KaimingInit<&kaiming_uniform_>>("kaiming_uniform", "Uniform, variance kept through rectifiers."),
    R::entry<Normal>("normal", "Normal."),
    R::entry<Fixed<&ones_>>("ones", "Ones."),
    R::entry<GainInit<&orthogonal_>>("orthogonal", "Orthonormal rows or columns (Saxe et al. 2013)."),
    R::entry<TruncatedNormal>("trunc_normal", "Normal, cut off at a and b."),
    R::entry<Uniform>("uniform", "Uniform in [a, b)."),
    R::entry<GainInit<&xavier_normal_>>("xavier_normal", "Normal, variance kept both ways (Glorot & Bengio 2010)."),
    R::entry<GainInit<&xavier_uniform_>>("xavier_uniform", "Uniform, variance kept both ways."),
    R::entry<Fixed<&zeros_>>("zeros", "Zeros."),
};

}  // namespace

const InitializerRegistry& initializers() {
  static constexpr R registry("initialiser", table);
  return registry;
}

}  // namespace rstorch::nn::init
