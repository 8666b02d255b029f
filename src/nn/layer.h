// How a config makes a layer.
//
// A layer that a config can name is a Module with
//   static constexpr std::string_view kind, help;    // its name, and one line
//   struct Config { ...; describe; };                // where it has arguments; the constructor takes it
// and, where an argument follows from the input, `void infer(Inference&)` in its Config. nn/layers.h lists them.
#pragma once

#include <concepts>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "config/registry.h"
#include "nn/module.h"

namespace rstorch::nn {

// What a Config asks about the input of its layer.
class Inference {
 public:
  explicit Inference(const Shape& input) : input_(input) {}
  virtual ~Inference() = default;

  const Shape& input() const { return input_; }  // with the batch axis
  // Sets `argument` to the size of the input's axis, or, where it was stated, checks that it is. Throws ShapeError
  // where there is no such axis. `unit` is plural: "features".
  void size(std::string_view key, std::optional<int64_t>& argument, int axis, std::string_view unit);
  // A stated argument does not fit: `label` says what is and what was stated, `help` how to mend it.
  virtual void mismatch(std::string_view key, const std::string& label, const std::string& help) = 0;

 private:
  Shape input_;
};

// A layer of a config, checked and not yet made.
class LayerSpec {
 public:
  virtual ~LayerSpec() = default;
  virtual std::unique_ptr<Module> make(Inference& inference) const = 0;
};
using LayerRegistry = config::Registry<LayerSpec>;

template <class L>
class LayerSpecOf;

template <class L>
requires config::detail::HasConfig<L>
class LayerSpecOf<L> final : public LayerSpec {
 public:
  using Config = typename L::Config;
  explicit LayerSpecOf(const Config& config) : config_(config) {}
  std::unique_ptr<Module> make(Inference& inference) const override {
    Config config = config_;
    if constexpr (requires { config.infer(inference); }) config.infer(inference);
    return std::make_unique<L>(config);
  }

 private:
  Config config_;
};

template <class L>
class LayerSpecOf final : public LayerSpec {
 public:
  std::unique_ptr<Module> make(Inference&) const override { return std::make_unique<L>(); }
};

}  // namespace rstorch::nn
