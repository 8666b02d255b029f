// Ops against what PyTorch computed: tests/fixtures (see its README).
#include <fstream>
#include <sstream>

#include "../unit/fixture.h"
#include "ops/ops.h"

using namespace rstorch;
using namespace rstorch::testing;

namespace {

using Arguments = std::vector<Tensor>;

// Runs f on the named inputs of a case and compares result and gradients.
void check(const Fixture& fixture, const std::string& name, const std::vector<std::string>& names,
           const std::function<Tensor(const Arguments&)>& f) {
  INFO(name);
  Arguments inputs;
  for (const std::string& input : names) {
    inputs.push_back(fixture.tensor(name + "/" + input));
    if (is_floating(inputs.back().dtype())) inputs.back().set_requires_grad(true);
  }
  const Tensor y = f(inputs), wanted = fixture.tensor(name + "/y");
  CHECK_LE(difference(y, wanted), tolerance(wanted));
  y.backward(fixture.tensor(name + "/dy"));
  for (size_t i = 0; i < names.size(); ++i) {
    if (!inputs[i].requires_grad()) continue;
    INFO("d", names[i]);
    const Tensor gradient = fixture.tensor(name + "/d" + names[i]);
    CHECK_LE(difference(inputs[i].grad(), gradient), tolerance(gradient));
  }
}

std::string family(const std::string& name) { return name.substr(0, name.find('/')); }

std::vector<int> dims_of(const Json& settings) {
  return settings["dim"].is_null() ? std::vector<int>{} : settings["dim"].get<std::vector<int>>();
}

Json read_json(const std::string& name) {
  std::ifstream in(source_path("tests/fixtures/" + name));
  REQUIRE(in.good());
  return Json::parse(in);
}

DType dtype_named(const std::string& name) {
  for (int i = 0; i < 8; ++i) {
    if (name_of(DType(i)) == name) return DType(i);
  }
  throw std::runtime_error("no dtype " + name);
}

}  // namespace

TEST_CASE("activations equal PyTorch's") {
  const Fixture fixture("activation");
  const std::map<std::string, Tensor (*)(const Tensor&)> functions = {
      {"relu", relu}, {"sigmoid", sigmoid}, {"tanh", tanh}, {"silu", silu}, {"gelu", gelu}, {"gelu_tanh", gelu_tanh}};
  for (const std::string& name : fixture.cases()) {
    if (const auto found = functions.find(family(name)); found != functions.end()) {
      check(fixture, name, {"x"}, [&](const Arguments& in) { return found->second(in[0]); });
      continue;
    }
    const int dim = fixture.settings(name)["dim"];
    const auto function = family(name) == "softmax" ? softmax : log_softmax;
    check(fixture, name, {"x"}, [&](const Arguments& in) { return function(in[0], dim); });
  }
}

TEST_CASE("attention and its gradients equal PyTorch's") {
  const Fixture fixture("attention");
  for (const std::string& name : fixture.cases()) {
    const Json settings = fixture.settings(name);
    const Tensor mask = fixture.has(name + "/attn_mask") ? fixture.tensor(name + "/attn_mask") : Tensor();
    AttentionOptions options{.is_causal = settings["is_causal"]};
    if (!settings["scale"].is_null()) options.scale = settings["scale"].get<double>();
    check(fixture, name, {"query", "key", "value"},
          [&](const Arguments& in) { return scaled_dot_product_attention(in[0], in[1], in[2], mask, options); });
  }
}

TEST_CASE("binary ops and their broadcasting gradients equal PyTorch's") {
  const Fixture fixture("binary");
  for (const std::string& name : fixture.cases()) {
    const Json settings = fixture.settings(name);
    const std::string op = settings["op"];
    if (settings.contains("exponent")) {
      const double exponent = settings["exponent"];
      check(fixture, name, {"input"}, [&](const Arguments& in) { return pow(in[0], exponent); });
      continue;
    }
    check(fixture, name, {"input", op == "pow" ? "exponent" : "other"}, [&](const Arguments& in) {
      if (op == "add") return add(in[0], in[1]);
      if (op == "sub") return sub(in[0], in[1]);
      if (op == "mul") return mul(in[0], in[1]);
      if (op == "div") return div(in[0], in[1]);
      if (op == "pow") return pow(in[0], in[1]);
      REQUIRE_EQ(op, "matmul");
      return matmul(in[0], in[1]);
    });
  }
}

TEST_CASE("reductions equal PyTorch's") {
  const Fixture fixture("reduction");
  for (const std::string& name : fixture.cases()) {
    const Json settings = fixture.settings(name);
    const std::string op = family(name);
    const std::vector<int> dims = dims_of(settings);
    const bool keepdim = settings["keepdim"];
    check(fixture, name, {op == "prod" ? "input" : "x"}, [&](const Arguments& in) {
      if (op == "sum") return sum(in[0], dims, keepdim);
      if (op == "mean") return mean(in[0], dims, keepdim);
      if (op == "prod") return prod(in[0], dims, keepdim);
      if (op == "var") return var(in[0], dims, keepdim, settings["unbiased"] ? 1 : 0);
      REQUIRE((op == "max" || op == "min"));
      if (dims.empty()) return op == "max" ? amax(in[0]) : amin(in[0]);
      const ValuesAndIndices found = op == "max" ? max(in[0], dims[0], keepdim) : min(in[0], dims[0], keepdim);
      CHECK_EQ(difference(found.indices, fixture.tensor(name + "/indices")), 0);
      return found.values;
    });
  }
}

namespace {

using Result = std::function<DType()>;

// The table's entry, or null where the call throws.
void check_dtype(const Json& wanted, const Result& result) {
  if (wanted.is_null()) {
    CHECK_THROWS_AS(result(), DTypeError);
    return;
  }
  CHECK_EQ(name_of(result()), wanted.get<std::string>());
}

// Ops that take a tensor or a number on the right; undefined for others.
template <class B>
Tensor apply_either(const std::string& op, const Tensor& a, const B& b) {
  if (op == "add") return add(a, b);
  if (op == "sub") return sub(a, b);
  if (op == "mul") return mul(a, b);
  if (op == "div") return div(a, b);
  if (op == "pow") return pow(a, b);
  if (op == "eq") return eq(a, b);
  if (op == "lt") return lt(a, b);
  return {};
}

Tensor apply(const std::string& op, const Tensor& a, const Tensor& b) {
  if (const Tensor y = apply_either(op, a, b); y.defined()) return y;
  if (op == "where") return where(Tensor::ones({2}, {kBool}), a, b);
  if (op == "cat") return cat({a, b});
  REQUIRE_EQ(op, "add_");
  return a.clone().add_(b);
}

Tensor apply(const std::string& op, const Tensor& a, Scalar b) {
  if (const Tensor y = apply_either(op, a, b); y.defined()) return y;
  REQUIRE_EQ(op, "rsub");
  return rsub(a, b);
}

}  // namespace

TEST_CASE("dtypes are promoted as PyTorch does") {
  const Json table = read_json("promotion.json");
  const std::map<std::string, Scalar> numbers = {{"bool", true}, {"int", 1}, {"float", 1.0}};
  const auto operand = [](const std::string& dtype, const std::string& kind) {
    return Tensor::ones(kind == "zero_dim" ? Shape{} : Shape{2}, {dtype_named(dtype)});
  };
  for (const Json& entry : table["binary"]) {
    const std::string op = entry["op"], right = entry["right"];
    const auto columns = table[right == "scalar" ? "scalars" : "dtypes"].get<std::vector<std::string>>();
    for (size_t row = 0; row < table["dtypes"].size(); ++row) {
      for (size_t column = 0; column < columns.size(); ++column) {
        INFO(op, " ", table["dtypes"][row].get<std::string>(), " ", right, " ", columns[column]);
        const Tensor a = operand(table["dtypes"][row], entry["left"]);
        check_dtype(entry["result"][row][column], [&] {
          if (right == "scalar") return apply(op, a, numbers.at(columns[column])).dtype();
          return apply(op, a, operand(columns[column], right)).dtype();
        });
      }
    }
  }
}

TEST_CASE("unary ops and reductions give PyTorch's dtypes") {
  const std::map<std::string, Tensor (*)(const Tensor&)> functions = {
      {"sum", [](const Tensor& x) { return sum(x); }},
      {"prod", [](const Tensor& x) { return prod(x); }},
      {"mean", [](const Tensor& x) { return mean(x); }},
      {"var", [](const Tensor& x) { return var(x); }},
      {"max", [](const Tensor& x) { return amax(x); }},
      {"argmax", [](const Tensor& x) { return argmax(x, 0); }},
      {"neg", neg},
      {"abs", abs},
      {"exp", exp},
      {"log", log},
      {"sqrt", sqrt},
      {"rsqrt", rsqrt},
      {"sin", sin},
      {"cos", cos},
      {"tanh", tanh},
      {"sigmoid", sigmoid},
      {"relu", relu}};
  const Json table = read_json("promotion.json");
  for (const Json& entry : table["unary"]) {
    const std::string op = entry["op"];
    for (size_t i = 0; i < table["dtypes"].size(); ++i) {
      const std::string dtype = table["dtypes"][i];
      if (op == "argmax" && dtype == "bool") continue;  // PyTorch has no kernel for it; ours has
      INFO(op, " ", dtype);
      const Tensor x = Tensor::ones({2}, {dtype_named(dtype)});
      check_dtype(entry["result"][i], [&] { return functions.at(op)(x).dtype(); });
    }
  }
}

TEST_CASE("shapes broadcast as PyTorch's") {
  const Json table = read_json("promotion.json");
  for (const Json& entry : table["broadcast"]) {
    const Shape a(entry["a"].get<std::vector<int64_t>>()), b(entry["b"].get<std::vector<int64_t>>());
    INFO(a.text(), " ", b.text());
    if (entry["result"].is_null()) {
      CHECK_THROWS_AS(add(Tensor::ones(a), Tensor::ones(b)), ShapeError);
      continue;
    }
    CHECK_EQ(add(Tensor::ones(a), Tensor::ones(b)).shape().text(),
             Shape(entry["result"].get<std::vector<int64_t>>()).text());
  }
}

namespace {

Tensor tensor_of(const Json& entry) {
  const DType dtype = dtype_named(entry["dtype"]);
  const Shape shape(entry["shape"].get<std::vector<int64_t>>());
  if (!is_floating(dtype)) {
    std::vector<int64_t> values;
    for (const Json& value : entry["values"])
      values.push_back(value.is_boolean() ? value.get<bool>() : value.get<int64_t>());
    return Tensor::from(values, shape).to(dtype);
  }
  std::vector<double> values;
  for (const Json& value : entry["values"]) {
    values.push_back(value.is_string() ? std::strtod(value.get<std::string>().c_str(), nullptr) : value.get<double>());
  }
  return Tensor::from(values, shape).to(dtype);
}

}  // namespace

TEST_CASE("tensors print as PyTorch prints them") {
  const Json table = read_json("printing.json");
  for (const Json& entry : table["cases"]) {
    INFO(entry["name"].get<std::string>());
    Tensor x = tensor_of(entry);
    if (entry["requires_grad"]) x.set_requires_grad(true);
    CHECK_EQ(x.text(), entry["text"].get<std::string>());
  }
  const std::map<std::string, Tensor (*)(const Tensor&)> functions = {{"sin", sin}, {"exp", exp}, {"relu", relu}};
  for (const Json& entry : table["graph_cases"]) {
    INFO(entry["name"].get<std::string>());
    const Tensor x = tensor_of(entry).set_requires_grad(true);
    CHECK_EQ(functions.at(entry["op"])(x).text(), entry["text"].get<std::string>());
  }
}
