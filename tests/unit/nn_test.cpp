// Modules: PyTorch's numbers, keys and rules.
#include <doctest/doctest.h>

#include "autograd/grad_mode.h"
#include "config/load.h"
#include "fixture.h"
#include "nn/bce_with_logits_loss.h"
#include "nn/cross_entropy_loss.h"
#include "nn/init.h"
#include "nn/layers.h"
#include "nn/losses.h"
#include "nn/mse_loss.h"
#include "nn/placement.h"
#include "nn/residual.h"
#include "nn/sequential.h"
#include "ops/ops.h"
#include "tensor/generator.h"

using namespace rstorch;
using namespace rstorch::testing;

namespace {

// Fails the test where a stated width does not fit: fixtures state all of them.
class StrictInference final : public nn::Inference {
 public:
  using Inference::Inference;
  void mismatch(std::string_view key, const std::string& label, const std::string&) override {
    FAIL("mismatch: " << std::string(key) << ": " << label);
  }
};

// A layer by its registered name, its settings read as YAML, as a config would.
std::unique_ptr<nn::Module> make_layer(const std::string& kind, Json settings, const Tensor& x) {
  settings.erase("type");
  config::Report report;
  const auto recipe = nn::layers().read(config::parse(Json{{kind, settings}}.dump(), "settings", report), report);
  REQUIRE_MESSAGE(report.ok(), report.render());
  StrictInference inference(x.shape());
  return recipe.make()->make(inference);
}

void load(nn::Module& module, const Fixture& fixture, const std::string& name) {
  nn::StateDict dict = module.state_dict();
  for (nn::NamedTensor& named : dict) {
    if (fixture.has(name + "/" + named.name)) named.tensor = fixture.tensor(name + "/" + named.name);
  }
  module.load_state_dict(dict);
}

// Output and every gradient of one forward and backward pass, whose tensors carry a suffix.
void check_pass(nn::Module& module, const Fixture& fixture, const std::string& name, const std::string& suffix = "") {
  CAPTURE(name);
  CAPTURE(suffix);
  Tensor x = fixture.tensor(name + "/x" + suffix);
  x.set_requires_grad(true);
  const double tol = tolerance(x);
  module.zero_grad();
  const Tensor y = module(x);
  CHECK(difference(y, fixture.tensor(name + "/y" + suffix)) < tol);
  y.backward(fixture.tensor(name + "/dy" + suffix));
  CHECK(difference(x.grad(), fixture.tensor(name + "/dx" + suffix)) < tol);
  for (const auto& [parameter, tensor] : module.named_parameters()) {
    CAPTURE(parameter);
    CHECK(difference(tensor.grad(), fixture.tensor(name + "/d" + parameter + suffix)) < 10 * tol);
  }
}

void check_family(const std::string& file,
                  const std::function<std::string(const std::string& name, const Json&)>& kind_of) {
  const Fixture fixture(file);
  for (const std::string& name : fixture.cases()) {
    const Json settings = fixture.settings(name);
    const std::string kind = kind_of(name, settings);
    if (kind.empty()) continue;
    const Tensor x = fixture.tensor(name + "/x");
    const nn::PlacementScope placement({kCPU, x.dtype()});
    const auto module = make_layer(kind, settings, x);
    load(*module, fixture, name);
    check_pass(*module, fixture, name);
  }
}

}  // namespace

TEST_CASE("Linear equals PyTorch") {
  check_family("linear", [](const std::string& name, const Json&) { return name == "vector" ? "" : "Linear"; });
}

TEST_CASE("Conv2d equals PyTorch") {
  check_family("conv2d", [](const std::string&, const Json&) { return "Conv2d"; });
}

TEST_CASE("pooling equals PyTorch") {
  check_family("pool", [](const std::string&, const Json& settings) { return settings["type"].get<std::string>(); });
}

TEST_CASE("LayerNorm equals PyTorch") {
  check_family("norm", [](const std::string&, const Json& settings) {
    return settings["type"] == "LayerNorm" ? "LayerNorm" : "";
  });
}

TEST_CASE("activations equal PyTorch") {
  static const std::map<std::string, std::string> kinds = {
      {"relu", "ReLU"}, {"sigmoid", "Sigmoid"}, {"tanh", "Tanh"},       {"silu", "SiLU"},
      {"gelu", "GELU"}, {"gelu_tanh", "GELU"},  {"softmax", "Softmax"}, {"log_softmax", "LogSoftmax"}};
  check_family("activation",
               [](const std::string& name, const Json&) { return kinds.at(name.substr(0, name.find('/'))); });
}

TEST_CASE("BatchNorm equals PyTorch over training steps and evaluation") {
  const Fixture fixture("norm");
  for (const std::string& name : fixture.cases()) {
    const Json settings = fixture.settings(name);
    if (settings["type"] == "LayerNorm") continue;
    const Tensor x = fixture.tensor(name + "/x1");
    const nn::PlacementScope placement({kCPU, x.dtype()});
    const auto module = make_layer(settings["type"], settings, x);
    load(*module, fixture, name);
    for (const char* suffix : {"1", "2"}) {
      check_pass(*module, fixture, name, suffix);
      for (const auto& [buffer, tensor] : module->named_buffers()) {
        CAPTURE(buffer);
        CHECK(difference(tensor, fixture.tensor(name + "/" + buffer + suffix)) < tolerance(x));
      }
    }
    module->eval();
    check_pass(*module, fixture, name, "_eval");
  }
}

TEST_CASE("BatchNorm refuses a batch without variance, and wrong axes") {
  nn::BatchNorm2d norm(3);
  CHECK_THROWS_AS(norm(Tensor::ones({1, 3, 1, 1})), ShapeError);
  CHECK_THROWS_AS(norm(Tensor::ones({4, 3})), ShapeError);
  norm.eval();
  CHECK_NOTHROW(norm(Tensor::ones({1, 3, 1, 1})));
}

namespace {

Reduction reduction_of(const std::string& name) {
  return name == "mean" ? Reduction::mean : name == "sum" ? Reduction::sum : Reduction::none;
}

std::vector<double> weights_of(const Fixture& fixture, const std::string& name, const Json& given) {
  return given.get<bool>() ? fixture.tensor(name).to_vector<double>() : std::vector<double>();
}

std::unique_ptr<nn::Loss> make_loss(const Fixture& fixture, const std::string& name) {
  const Json settings = fixture.settings(name);
  const Reduction reduction = reduction_of(settings["reduction"]);
  if (settings["type"] == "MSELoss") return std::make_unique<nn::MSELoss>(nn::MSELoss::Config{reduction});
  const std::vector<double> weight = weights_of(fixture, name + "/weight", settings["weight"]);
  if (settings["type"] == "BCEWithLogitsLoss") {
    return std::make_unique<nn::BCEWithLogitsLoss>(nn::BCEWithLogitsLoss::Config{
        weight, weights_of(fixture, name + "/pos_weight", settings["pos_weight"]), reduction});
  }
  return std::make_unique<nn::CrossEntropyLoss>(
      nn::CrossEntropyLoss::Config{weight, settings["ignore_index"], reduction, settings["label_smoothing"]});
}

}  // namespace

TEST_CASE("losses equal PyTorch, and a mean is sum over count") {
  const Fixture fixture("loss");
  for (const std::string& name : fixture.cases()) {
    CAPTURE(name);
    const auto loss = make_loss(fixture, name);
    Tensor input = fixture.tensor(name + "/input");
    const Tensor target = fixture.tensor(name + "/target");
    input.set_requires_grad(true);
    const Tensor y = (*loss)(input, target);
    CHECK(difference(y, fixture.tensor(name + "/y")) < tolerance(input));
    y.backward(fixture.tensor(name + "/dy"));
    CHECK(difference(input.grad(), fixture.tensor(name + "/dinput")) < tolerance(input));
    if (loss->reduction() != Reduction::mean) continue;
    const NoGrad no_grad;
    const double count = loss->count(input, target).item();
    CHECK(difference(loss->sum(input, target) / count, y) < tolerance(input));
  }
}

TEST_CASE("loss kinds are made from YAML") {
  config::Report report;
  const auto loss = nn::losses().make(config::parse("{CrossEntropyLoss: {label_smoothing: 0.1}}", "c", report), report);
  REQUIRE(report.ok());
  CHECK(loss->reduction() == Reduction::mean);
  nn::losses().make(config::parse("{MSELoss: {reduction: none}}", "c", report), report);
  CHECK(report.size() == 1);
}

// --- Module ----------------------------------------------------------------------------------------------------------

namespace {

struct Net : nn::Module {
  nn::Linear& hidden = register_module("hidden", nn::Linear(4, 3));
  nn::BatchNorm1d& norm = register_module("norm", nn::BatchNorm1d(3));
  nn::Linear& head = register_module("head", nn::Linear({.in_features = 3, .out_features = 2, .bias = false}));
  Tensor forward(const Tensor& x) override { return head(norm(hidden(x)).relu()); }
};

std::vector<std::string> names_of(const std::vector<nn::NamedTensor>& tensors) {
  std::vector<std::string> out;
  for (const nn::NamedTensor& named : tensors) out.push_back(named.name);
  return out;
}

using Names = std::vector<std::string>;

}  // namespace

TEST_CASE("state_dict has PyTorch's keys in PyTorch's order") {
  const Net net;
  CHECK(names_of(net.state_dict()) == Names{"hidden.weight", "hidden.bias", "norm.weight", "norm.bias",
                                            "norm.running_mean", "norm.running_var", "norm.num_batches_tracked",
                                            "head.weight"});
  CHECK(names_of(net.named_parameters()) ==
        Names{"hidden.weight", "hidden.bias", "norm.weight", "norm.bias", "head.weight"});
  CHECK(net.parameter_count() == 12 + 3 + 3 + 3 + 6);
  const nn::Sequential model(nn::Linear(2, 3), nn::ReLU(), nn::Sequential(nn::Linear(3, 1)));
  CHECK(names_of(model.state_dict()) == Names{"0.weight", "0.bias", "2.0.weight", "2.0.bias"});
}

TEST_CASE("modules move, and what was registered stays valid") {
  Net net;
  const Tensor x = Tensor::randn({5, 4});
  net.eval();
  const Tensor before = net(x);
  Net moved = std::move(net);
  CHECK(bit_equal(moved(x), before));
  CHECK(moved.hidden.weight.is_same(moved.named_parameters()[0].tensor));
  auto on_heap = std::make_unique<Net>(std::move(moved));
  CHECK(bit_equal((*on_heap)(x), before));
}

TEST_CASE("load_state_dict copies, and says at once all that does not fit") {
  Net a, b;
  b.load_state_dict(a.state_dict());
  const Tensor x = Tensor::randn({5, 4});
  CHECK(bit_equal(a(x), b(x)));

  nn::StateDict dict = a.state_dict();
  dict[0].tensor = Tensor::zeros({3, 5});
  dict[1].name = "hidden.bais";
  dict.erase(dict.begin() + 2);
  const std::vector<float> before = b.hidden.weight.to_vector<float>();
  try {
    b.load_state_dict(dict);
    FAIL("loaded a wrong state_dict");
  } catch (const CheckpointError& error) {
    const std::string text = error.what();
    CHECK(text.find("hidden.weight: has shape [3, 5], wanted [3, 4]") != std::string::npos);
    CHECK(text.find("missing: hidden.bias") != std::string::npos);
    CHECK(text.find("missing: norm.weight") != std::string::npos);
    CHECK(text.find("unexpected: hidden.bais (did you mean hidden.bias?)") != std::string::npos);
  }
  CHECK(b.hidden.weight.to_vector<float>() == before);

  dict[0].tensor = a.hidden.weight.detach();
  const nn::LoadResult result = b.load_state_dict(dict, nn::Strict::no);
  CHECK(result.missing == Names{"hidden.bias", "norm.weight"});
  CHECK(result.unexpected == Names{"hidden.bais"});
}

TEST_CASE("tied weights are one parameter with two keys") {
  struct Tied : nn::Module {
    nn::Linear& first = register_module("first", nn::Linear({.in_features = 3, .out_features = 3, .bias = false}));
    nn::Linear& second = register_module("second", nn::Linear({.in_features = 3, .out_features = 3, .bias = false}));
    Tied() { second.weight = first.weight; }
    Tensor forward(const Tensor& x) override { return second(first(x)); }
  };
  Tied model;
  CHECK(names_of(model.named_parameters()) == Names{"first.weight"});
  CHECK(names_of(model.state_dict()) == Names{"first.weight", "second.weight"});
  model(Tensor::ones({1, 3})).sum().backward();
  CHECK(model.first.weight.grad().defined());
  model.to(DType::f64);
  CHECK(model.second.weight.is_same(model.first.weight));
}

TEST_CASE("to(dtype) keeps identities and leaves counters alone") {
  Net net;
  const Tensor weight = net.hidden.weight;
  net(Tensor::randn({4, 4})).sum().backward();
  net.to(DType::f64);
  CHECK(weight.dtype() == DType::f64);
  CHECK(weight.grad().dtype() == DType::f64);
  CHECK(net.norm.running_mean.dtype() == DType::f64);
  CHECK(net.norm.num_batches_tracked.dtype() == DType::i64);
  CHECK_NOTHROW(net(Tensor::randn({4, 4}, {.dtype = DType::f64})));
  CHECK_THROWS_AS(net.to(DType::i64), DTypeError);
}

TEST_CASE("train and eval reach every module") {
  nn::Sequential model(nn::Dropout(0.5), nn::Sequential(nn::Dropout(0.5)));
  model.eval();
  const Tensor x = Tensor::ones({2, 100});
  CHECK(bit_equal(model(x), x));
  model.train();
  CHECK_FALSE(bit_equal(model(x), x));
}

TEST_CASE("an error in a forward pass names the module") {
  nn::Sequential model(nn::Linear(4, 3), nn::Sequential(nn::ReLU(), nn::Linear(5, 2)));
  try {
    model(Tensor::ones({2, 4}));
    FAIL("ran a model whose shapes do not fit");
  } catch (const Error& error) {
    CHECK(error.module_path() == "1.1");
    CHECK(error.report().find("in: 1.1") != std::string::npos);
  }
}

TEST_CASE("names of parts are taken once and have no dots") {
  struct Twice : nn::Module {
    Twice(const char* a, const char* b) {
      register_module(a, nn::ReLU());
      register_module(b, nn::ReLU());
    }
    Tensor forward(const Tensor& x) override { return x; }
  };
  CHECK_THROWS_AS(Twice("a", "a"), ArgumentError);
  CHECK_THROWS_AS(Twice("a", "b.c"), ArgumentError);
  CHECK_NOTHROW(Twice("a", "b"));
}

TEST_CASE("Sequential fuses ReLU and GELU without changing values, keys or hooks") {
  for (const auto& [convolution, gelu] : {std::pair(false, false), {false, true}, {true, false}, {true, true}}) {
    CAPTURE(convolution);
    CAPTURE(gelu);
    nn::Sequential model;
    if (convolution)
      model.push_back(std::make_unique<nn::Conv2d>(2, 3, 3));
    else
      model.push_back(std::make_unique<nn::Linear>(6, 5));
    if (gelu)
      model.push_back(std::make_unique<nn::GELU>(nn::GELU::Config{.approximate = nn::GeluForm::tanh}));
    else
      model.push_back(std::make_unique<nn::ReLU>());
    const Tensor values = convolution ? Tensor::randn({2, 2, 5, 5}) : Tensor::randn({7, 6});
    Tensor x1 = values.clone(), x2 = values.clone();
    x1.set_requires_grad(true);
    x2.set_requires_grad(true);
    const Tensor fused = model(x1);
    fused.sum().backward();
    const Tensor dw = model.parameters()[0].grad().clone();
    model.zero_grad();
    int calls = 0;
    model.children().front().module->register_forward_hook([&](nn::Module&, const Tensor&, const Tensor& y) {
      CHECK(y.min().item() < -0.2);  // before the activation
      ++calls;
    });
    const Tensor plain = model(x2);
    plain.sum().backward();
    CHECK(calls == 1);
    CHECK(difference(fused, plain) < 1e-6);
    CHECK(difference(x1.grad(), x2.grad()) < 1e-6);
    CHECK(difference(dw, model.parameters()[0].grad()) < 1e-5);
    CHECK(model.state_dict().size() == 2);
  }
}

TEST_CASE("Residual adds body and shortcut, and no level to keys") {
  auto body = std::make_unique<nn::Sequential>();
  body->add("fc", std::make_unique<nn::Linear>(3, 3));
  nn::Residual residual(std::move(body));
  const Tensor x = Tensor::randn({2, 3});
  CHECK(names_of(residual.state_dict()) == Names{"fc.weight", "fc.bias"});
  const auto dict = residual.state_dict();
  CHECK(difference(residual(x), linear(x, dict[0].tensor, dict[1].tensor) + x) < 1e-6);
  nn::Residual projected(std::make_unique<nn::Linear>(3, 4), std::make_unique<nn::Sequential>(nn::Linear(3, 4)));
  CHECK(names_of(projected.state_dict()) == Names{"weight", "bias", "downsample.0.weight", "downsample.0.bias"});
}

TEST_CASE("layers refuse arguments that cannot be") {
  CHECK_THROWS_AS(nn::Linear({.out_features = 3}), ArgumentError);
  CHECK_THROWS_AS(nn::Dropout(1.5), ArgumentError);
  CHECK_THROWS_AS(nn::Conv2d({.in_channels = 2, .out_channels = 3, .kernel_size = 3, .stride = 2, .padding = "same"}),
                  ArgumentError);
  CHECK_THROWS_AS(nn::Conv2d({.in_channels = 2, .out_channels = 3, .kernel_size = 3, .groups = 2}), ArgumentError);
  CHECK_THROWS_AS(nn::Padding("full"), ArgumentError);
}

// --- Random numbers
// ------------------------------------------------------------------------------------------------------

TEST_CASE("dropout masks depend on seed, step, layer and global sample, not on how the batch is cut") {
  nn::Sequential model(nn::Dropout(0.5), nn::Dropout(0.5));
  nn::number_layers(model);
  const Tensor x = Tensor::ones({8, 50});
  const auto run = [&](nn::RandomScope::Settings settings, int64_t begin, int64_t end) {
    settings.first_sample = uint64_t(begin);
    const nn::RandomScope scope(settings);
    return model(x.slice(0, begin, end).contiguous());
  };
  const Tensor whole = run({.seed = 1, .step = 3}, 0, 8);
  CHECK(bit_equal(whole, run({.seed = 1, .step = 3}, 0, 8)));
  CHECK(bit_equal(whole, cat({run({.seed = 1, .step = 3}, 0, 3), run({.seed = 1, .step = 3}, 3, 8)})));
  CHECK_FALSE(bit_equal(whole, run({.seed = 1, .step = 4}, 0, 8)));
  CHECK_FALSE(bit_equal(whole, run({.seed = 2, .step = 3}, 0, 8)));
  // Two layers with one mask would keep half of the elements, not a quarter.
  const double kept = rstorch::ne(whole, 0).to(DType::f64).mean().item();
  CHECK(kept > 0.15);
  CHECK(kept < 0.35);
}

TEST_CASE("a layer that is called twice in a step draws two masks; without a scope manual_seed rules") {
  nn::Dropout dropout(0.5);
  const Tensor x = Tensor::ones({4, 64});
  {
    const nn::RandomScope scope({.seed = 1});
    CHECK_FALSE(bit_equal(dropout(x), dropout(x)));
  }
  manual_seed(5);
  const Tensor first = dropout(x);
  CHECK_FALSE(bit_equal(first, dropout(x)));
  manual_seed(5);
  CHECK(bit_equal(first, dropout(x)));
}

// --- Initial values
// -----------------------------------------------------------------------------------------------------

namespace {

struct Moments {
  double mean, std, largest;
};

Moments moments(const Tensor& x) {
  double sum = 0, squares = 0, largest = 0;
  for (const double value : x.to_vector<double>()) {
    sum += value;
    squares += value * value;
    largest = std::max(largest, std::abs(value));
  }
  const double n = double(x.numel()), mean = sum / n;
  return {mean, std::sqrt(squares / n - mean * mean), largest};
}

}  // namespace

TEST_CASE("default initial values are PyTorch's: uniform within 1 / sqrt(fan_in)") {
  manual_seed(1);
  const nn::Linear linear(400, 300);
  const double bound = 1 / std::sqrt(400.0);
  for (const Tensor& x : {linear.weight, linear.bias}) {
    CHECK(moments(x).largest <= bound);
    CHECK(moments(x).largest > 0.98 * bound);
    CHECK(moments(x).std == doctest::Approx(bound / std::sqrt(3.0)).epsilon(0.1));
  }
  const nn::Conv2d conv({.in_channels = 16, .out_channels = 64, .kernel_size = 3, .groups = 2});
  CHECK(moments(conv.weight).largest <= 1 / std::sqrt(8.0 * 9));
  CHECK(moments(conv.weight).std == doctest::Approx(1 / std::sqrt(3.0 * 72)).epsilon(0.05));
  const nn::BatchNorm2d norm(4);
  CHECK(norm.weight.to_vector<double>() == std::vector<double>(4, 1));
  CHECK(norm.bias.to_vector<double>() == std::vector<double>(4, 0));
  CHECK(norm.running_var.to_vector<double>() == std::vector<double>(4, 1));
}

TEST_CASE("initialisers have the moments that their papers give") {
  using namespace nn::init;
  manual_seed(2);
  const Tensor x = Tensor::empty({200, 100, 3, 1});  // fan_in 300, fan_out 600
  const auto check_std = [&](double std) {
    CHECK(moments(x).std == doctest::Approx(std).epsilon(0.02));
    CHECK(std::abs(moments(x).mean) < 0.03 * std + 1e-12);
  };
  CHECK(fans_of(x.shape()).in == 300);
  CHECK(fans_of(x.shape()).out == 600);
  kaiming_normal_(x, {.nonlinearity = Nonlinearity::relu});
  check_std(std::sqrt(2.0 / 300));
  kaiming_normal_(x, {.mode = FanMode::fan_out});
  check_std(std::sqrt(2.0 / 600));
  kaiming_uniform_(x, {.a = std::sqrt(5.0)});
  check_std(std::sqrt(1.0 / 3.0 / 300));
  CHECK(moments(x).largest <= 1 / std::sqrt(300.0));
  xavier_uniform_(x, 2);
  check_std(2 * std::sqrt(2.0 / 900));
  xavier_normal_(x);
  check_std(std::sqrt(2.0 / 900));
  normal_(x, 0, 3);
  check_std(3);
  uniform_(x, -1, 1);
  check_std(1 / std::sqrt(3.0));
  trunc_normal_(x, {.std = 1, .a = -2, .b = 2});
  check_std(0.8796);  // of the normal distribution cut at two deviations
  CHECK(moments(x).largest <= 2);
  constant_(x, 1.5);
  CHECK(moments(x).largest == 1.5);
  CHECK_THROWS_AS(kaiming_normal_(Tensor::empty({3})), ShapeError);
  CHECK(calculate_gain(Nonlinearity::tanh) == 5.0 / 3);
  CHECK(calculate_gain(Nonlinearity::leaky_relu, 0.01) == doctest::Approx(std::sqrt(2 / (1 + 1e-4))));
}

TEST_CASE("uniform numbers stay below the upper end in every dtype") {
  for (const DType dtype : {kBFloat16, kFloat16, kFloat32}) {
    const Tensor x = Tensor::empty({4096}, {.dtype = dtype});
    manual_seed(3);
    nn::init::uniform_(x, 1, 2);
    const auto values = x.to_vector<double>();
    CHECK(*std::max_element(values.begin(), values.end()) < 2);
    CHECK(*std::min_element(values.begin(), values.end()) >= 1);
  }
}

TEST_CASE("orthogonal matrices are") {
  for (const Shape& shape : {Shape{4, 9}, Shape{9, 4}, Shape{6, 2, 3}}) {
    const Tensor x = Tensor::empty(shape, {.dtype = DType::f64});
    nn::init::orthogonal_(x, 2);
    const Tensor matrix = x.reshape({shape[0], -1});
    const bool wide = matrix.size(0) <= matrix.size(1);
    const Tensor gram = wide ? matrix.matmul(matrix.t()) : matrix.t().matmul(matrix);
    CHECK(difference(gram, Tensor::eye(gram.size(0), {.dtype = DType::f64}) * 4.0) < 1e-12);
  }
}

TEST_CASE("keyed initial values depend on the seed and the number, not on what was drawn before") {
  const auto draw = [](uint64_t seed, uint32_t number) {
    const nn::init::KeyedScope keyed(seed, number);
    const Tensor x = Tensor::empty({10});
    nn::init::normal_(x);
    return x;
  };
  const Tensor first = draw(1, 0);
  manual_seed(9);
  Tensor::randn({3});
  CHECK(bit_equal(draw(1, 0), first));
  CHECK_FALSE(bit_equal(draw(1, 1), first));
  CHECK_FALSE(bit_equal(draw(2, 0), first));
}
