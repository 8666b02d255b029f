#include <fstream>

#include <netdb.h>
#include <omp.h>
#include <unistd.h>

#include "base/version.h"
#include "cli/command.h"
#include "cli/mpirun.h"
#include "config/dump.h"
#include "dist/connect.h"
#include "dist/socket.h"
#include "tensor/runtime.h"
#include "train/progress.h"
#include "train/text_table.h"

namespace rstorch::cli {
namespace {

// One thing that was looked at, and what to do where it is not as it should be.
struct Finding {
  std::string name;
  std::string text;
  std::string fix;
};

std::string cpu_model() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  }
  return "unknown";
}

std::string cpu_features() {
  std::string out;
  const auto add = [&out](bool has, const char* name) {
    if (has) out += format("{}{}", out.empty() ? "" : " ", name);
  };
  add(__builtin_cpu_supports("avx2"), "avx2");
  add(__builtin_cpu_supports("fma"), "fma");
  add(__builtin_cpu_supports("avx512f"), "avx512f");
  add(__builtin_cpu_supports("avx512vnni"), "avx512vnni");
  return out.empty() ? "none of those that kernels use" : out;
}

Finding threads() {
  const int available = omp_get_num_procs();
  const int used = omp_get_max_threads();
  Finding finding{"threads", format("{} of {} processors", used, available), ""};
  if (used < available) finding.fix = format("OMP_NUM_THREADS={} uses all", available);
  return finding;
}

Finding memory() {
  const double pages = double(::sysconf(_SC_PHYS_PAGES));
  const double free_pages = double(::sysconf(_SC_AVPHYS_PAGES));
  const double page = double(::sysconf(_SC_PAGESIZE));
  return {"memory", format("{}, {} free", bytes_text(pages * page), bytes_text(free_pages * page)), ""};
}

Finding cuda_devices() {
  if (!cuda::is_available()) {
    return {"cuda", format("not available: {}", cuda::why_unavailable()),
            "training runs on the CPU; for a GPU: build with -Dgpu=enabled and install NVIDIA's driver"};
  }
  std::string devices;
  for (int i = 0; i < cuda::device_count(); ++i) devices += format("{}{}", i ? "; " : "", cuda::describe(i));
  std::string why;
  if (const NcclApi* const nccl = cuda::nccl(why)) return {"cuda", format("{}; NCCL {}", devices, nccl->version), ""};
  return {"cuda", format("{}; no NCCL: {}", devices, why), "without it ranks exchange what is on GPUs through the CPU"};
}

Finding mpi() {
  const auto mpirun = find_mpirun();
  if (!mpirun) return {"mpi", "no mpirun: one rank only", std::string(kMpirunFix)};
  const std::string version = mpirun_version(*mpirun);
  const std::string text = format("{}, {}", version.empty() ? "does not run" : version, mpirun->string());
  if (!version.starts_with("Open MPI")) return {"mpi", text, format("`launch` wants Open MPI; {}", kMpirunFix)};
  try {
    const std::string library = dist::mpi_library();
    if (library != version)
      return {"mpi", format("{}; this build is for {}", text, library), "use its mpirun: RSTORCH_MPIRUN"};
  } catch (const DistError& error) {
    return {"mpi", format("{}; {}", text, error.what()), error.hint()};
  }
  // mpirun looks up this machine's name each time that it starts, and waits as long as this does.
  const std::string name = dist::host_name();
  const Clock::time_point begin = Clock::now();
  addrinfo* found = nullptr;
  const bool known = ::getaddrinfo(name.c_str(), nullptr, nullptr, &found) == 0;
  if (known) ::freeaddrinfo(found);
  const double seconds = seconds_since(begin);
  if (seconds < 1) return {"mpi", text, ""};
  return {"mpi", format("{}; it starts {:.0f} s late: so long takes a look-up of this machine's name", text, seconds),
          format("put `127.0.1.1 {}` into /etc/hosts", name)};
}

Finding data_folder() {
  const char* folder = std::getenv("RSTORCH_DATA");
  if (!folder || !*folder) return {"data", "RSTORCH_DATA is not set: configs of larger data look in datasets/", ""};
  if (::access(folder, R_OK | X_OK) == 0) return {"data", format("RSTORCH_DATA={}", folder), ""};
  return {"data", format("RSTORCH_DATA={} cannot be read", folder), "name a folder with data sets, or unset it"};
}

std::vector<Finding> examine() {
  return {{"rstorch", format("{}, g++ {}.{}, C++20", kVersion, __GNUC__, __GNUC_MINOR__), ""},
          {"cpu", cpu_model(), ""},
          {"features", cpu_features(), __builtin_cpu_supports("avx2") ? "" : "kernels fall back to slower code"},
          threads(),
          memory(),
          cuda_devices(),
          mpi(),
          data_folder()};
}

ExitCode run(bool json) {
  config::Value object = config::Value::map();
  for (const Finding& finding : examine()) {
    if (!json) {
      print(format("{:<9} {}\n", finding.name, finding.text));
      if (!finding.fix.empty()) print(format("{:<9} -> {}\n", "", finding.fix));
    }
    object.set(finding.name, config::Value::map({{"text", finding.text}, {"fix", finding.fix}}));
  }
  if (json) print(config::to_json(object, 2) + "\n");
  return ExitCode::success;
}

}  // namespace

void add_doctor(Command program, Action& action) {
  const Command command =
      program.add_command("doctor", "Show the build and what this machine offers, with fixes.", "rstorch doctor");
  auto json = std::make_shared<bool>(false);
  command.add_flag("--json", *json, "One JSON object.");
  command.when_chosen([&action, json] { action = [json] { return run(*json); }; });
}

}  // namespace rstorch::cli
