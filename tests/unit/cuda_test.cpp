// The CUDA module: how it is found and opened, and what it holds. No test here needs a GPU.
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <dlfcn.h>
#include <doctest/doctest.h>

#include "base/error.h"
#include "kernels/copy.h"
#include "kernels/cuda/module.h"
#include "kernels/elementwise.h"
#include "kernels/matmul.h"
#include "kernels/random.h"
#include "tensor/runtime.h"
#include "tensor/tensor.h"

using namespace rstorch;
namespace fs = std::filesystem;

namespace {

const fs::path kProgram = fs::read_symlink("/proc/self/exe");

// Where the build puts the module; it is not there in a build without CUDA.
fs::path module_file() { return kProgram.parent_path() / "../../kernels/cuda/rstorch_cuda.so"; }
// And names it, so that this process opens it whether there is a driver or not.
bool has_module() {
  setenv("RSTORCH_CUDA_MODULE", module_file().c_str(), 1);
  if (fs::exists(module_file())) return true;
  MESSAGE("skipped: this build has no CUDA module");
  return false;
}
std::string output_of(const std::string& command) {
  FILE* const pipe = popen(command.c_str(), "r");
  REQUIRE(pipe != nullptr);
  std::string out;
  for (int c = std::fgetc(pipe); c != EOF; c = std::fgetc(pipe)) out += char(c);
  pclose(pipe);
  return out;
}

// What a process in this environment says. Each process opens the module once.
std::string why_in(const std::string& environment) {
  return output_of("env " + environment + " '" + kProgram.string() +
                   "' --no-skip --no-version --test-case='say why CUDA is unavailable'");
}
std::string why_with_module(const std::string& path) { return why_in("RSTORCH_CUDA_MODULE='" + path + "'"); }

bool mapped(const std::string& library) {
  std::ifstream maps("/proc/self/maps");
  std::stringstream text;
  text << maps.rdbuf();
  return text.str().find(library) != std::string::npos;
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("say why CUDA is unavailable" * doctest::skip()) {
  std::printf("why: %s; %s\n", cuda::why_unavailable().c_str(), mapped("libcublas") ? "opened" : "not opened");
}

// First of all tests of this program that ask about CUDA.
TEST_CASE("a program that asks nothing about CUDA opens no library of it") {
  CHECK(Tensor::ones({2, 3}).add_(1).sum().item() == 12);
  CHECK_FALSE(mapped("rstorch_cuda"));
  CHECK_FALSE(mapped("libcublas"));
  CHECK_FALSE(mapped("libcuda"));
}

TEST_CASE("without a driver the module's libraries are not opened to learn that there is no device") {
  if (fs::exists("/dev/nvidiactl")) return;
  const std::string why = why_in("-u RSTORCH_CUDA_MODULE");
  CHECK_MESSAGE(contains(why, "why: there is no NVIDIA driver, libcuda.so.1; not opened\n"), why);
}

TEST_CASE("the reason names the module that cannot be opened") {
  const std::string why = why_with_module("/nowhere/rstorch_cuda.so");
  CHECK_MESSAGE(contains(why, "why: the CUDA module cannot be opened: /nowhere/rstorch_cuda.so"), why);
}

TEST_CASE("the reason names a library that is not the module") {
  const std::string why = why_with_module("libm.so.6");
  CHECK_MESSAGE(contains(why, "why: libm.so.6 has no entry point"), why);
}

TEST_CASE("the module has one door") {
  if (!has_module()) return;
  const std::string exported = output_of("nm -D --defined-only '" + module_file().string() + "'");
  std::istringstream lines(exported);
  std::string line, name;
  REQUIRE(std::getline(lines, line));
  CHECK_MESSAGE(contains(line, " T rstorch_cuda_module"), line);
  CHECK_FALSE_MESSAGE(std::getline(lines, line), line);
}

TEST_CASE("the module opens NCCL when it is asked for it, and not before; or says what is missing") {
  if (!has_module()) return;
  void* const library = dlopen(module_file().c_str(), RTLD_NOW | RTLD_LOCAL);
  REQUIRE(library != nullptr);
  const auto entry = reinterpret_cast<const CudaModule* (*)()>(dlsym(library, "rstorch_cuda_module"));
  REQUIRE(bool(entry));
  CHECK_FALSE(mapped("libnccl"));
  std::string why;
  const NcclApi* const api = entry()->nccl(why);
  if (!api) {
    const bool said = contains(why, "NCCL cannot be opened: libnccl.so.2") || contains(why, "built without NCCL");
    CHECK_MESSAGE(said, why);
    return;
  }
  CHECK(mapped("libnccl"));
  CHECK_MESSAGE(contains(api->version, "2."), api->version);
  NcclApi::Id one{}, other{};
  CHECK(api->unique_id(one) == NcclApi::kDone);  // needs no GPU
  CHECK(api->unique_id(other) == NcclApi::kDone);
  CHECK(one != other);
  CHECK_MESSAGE(contains(api->error_text(nullptr, 6), "remote"), api->error_text(nullptr, 6));
  if (entry()->device_count(why) > 0) return;
  NcclApi::Comm comm = nullptr;
  CHECK_THROWS_AS(api->init_rank(comm, one, 2, 0, 0), DeviceError);
}

TEST_CASE("without a device the reason is one line with the driver's code, and cuda is an error with a hint") {
  if (!has_module() || cuda::is_available()) return;
  const std::string& why = cuda::why_unavailable();
  CHECK_MESSAGE(contains(why, "cudaGetDeviceCount: "), why);
  CHECK_FALSE(contains(why, "\n"));
  if (!fs::exists("/dev/nvidiactl")) CHECK_MESSAGE(why == "there is no NVIDIA driver (cudaGetDeviceCount: 35)", why);
  CHECK(cuda::device_count() == 0);
  const Tensor x = Tensor::ones({2});
  try {
    x.to("cuda");
    FAIL("nothing was thrown");
  } catch (const DeviceError& e) {
    CHECK(std::string(e.what()) == "device cuda:0: " + why);
    CHECK(contains(e.hint(), "cpu"));
  }
  CHECK_THROWS_AS(Tensor::zeros({2}, {.device = "cuda:1"}), DeviceError);
  CHECK(x.sum().item() == 2);  // the CPU goes on
}

TEST_CASE("the module fills every kernel that it shall have") {
  if (!has_module()) return;
  cuda::is_available();
  const auto check = [](const auto& kernel) { CHECK_MESSAGE(bool(kernel.cuda), kernel.name); };
  const auto check_unary = [&]<class... F>(TypeList<F...>) {
    (check(kernels::Unary<F>::forward), ...);
    (
        [&] {
          if constexpr (kernels::HasSlope<F>) check(kernels::Unary<F>::backward);
        }(),
        ...);
  };
  const auto check_binary = [&]<class... F>(TypeList<F...>) {
    (check(kernels::Binary<F>::forward), ...);
    (
        [&] {
          if constexpr (kernels::HasSlopes<F>)
            check(kernels::Binary<F>::backward_a), check(kernels::Binary<F>::backward_b);
        }(),
        ...);
  };
  check_unary(kernels::UnaryOps{});
  check_binary(kernels::BinaryOps{});
  check(kernels::copy);
  check(kernels::fill);
  check(kernels::where);
  check(kernels::random_uniform);
  check(kernels::random_normal);
  check(kernels::random_integer);
  check(kernels::matmul);
}
