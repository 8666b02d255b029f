// The host's side of NCCL, with a script in NCCL's place and threads as ranks.
#include <tuple>

#include <doctest/doctest.h>

#include "cuda/scripted_nccl.h"
#include "dist/device_link.h"
#include "dist/nccl_group.h"
#include "dist/thread_group.h"
#include "ops/ops.h"
#include "unit/failures.h"

using namespace rstorch;
using namespace std::chrono_literals;
using dist::DeviceGroup;
using dist::NcclGroup;
using dist::ProcessGroup;
using dist::ReduceOp;
using dist::WorkPtr;

namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }
bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

ScriptedNccl& new_script() {
  nccl_script = std::make_unique<ScriptedNccl>();
  return *nccl_script;
}
const NcclApi api = ScriptedNccl::api();

NcclApi::Id some_id() {
  NcclApi::Id id;
  id.fill('i');
  return id;
}

NcclGroup::Options options_of(int rank, int size) {
  NcclGroup::Options out;
  out.rank = rank;
  out.size = size;
  out.device = rank;
  out.timeout = 300ms;
  out.ending = 200ms;
  out.compute = [rank] { return nccl_script->compute_queue(rank); };
  return out;
}

void attach(ProcessGroup& group, std::chrono::milliseconds timeout = 20s) {
  NcclGroup::Options options = options_of(group.rank(), group.size());
  options.timeout = timeout;
  options.watchdog = group.watchdog();
  group.attach(std::make_unique<NcclGroup>(api, dist::share_nccl_id(api, group), options));
}

// As on real ranks, but without ending the tests' process.
void watch(ProcessGroup& group, std::chrono::milliseconds timeout, std::atomic<int>& last_resorts) {
  dist::Watchdog::Options options;
  options.rank = group.rank();
  options.size = group.size();
  options.timeout = timeout;
  options.last_resort = [&](int, const std::string&) { ++last_resorts; };
  group.watch(std::make_unique<dist::Watchdog>(
      options, [&](const std::string& text) { return group.broadcast_text(text, "where rank 0 is"); }));
}

std::string error_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const DistError& error) {
    CHECK(error.exit_code() == ExitCode::distributed);
    return error.what();
  }
  return "nothing was thrown";
}

Tensor on_gpu(double value, DType dtype = DType::f32) {
  return Tensor::full({1000}, value, {.dtype = dtype, .device = "cuda"});
}
bool all_are(const Tensor& x, double value) { return x.to_vector<double>() == std::vector<double>(1000, value); }

}  // namespace

TEST_CASE("CUDA tensors of a process group go over NCCL, those of the CPU as before") {
  new_script();
  Failures failures;
  const Device cuda(DeviceType::cuda, 0);
  dist::run_ranks(3, [&](ProcessGroup& group) {
    failures.expect(group.carrier_of(cuda) == "threads");
    attach(group);
    failures.expect(group.carrier_of(cuda).starts_with("NCCL ") && group.carrier_of(kCPU) == "threads");
    const int rank = group.rank();
    for (const DType dtype : {DType::f32, DType::f64, DType::i64, DType::i32}) {
      const Tensor sum = on_gpu(rank + 1, dtype), most = on_gpu(rank - 3, dtype), least = on_gpu(rank - 3, dtype);
      group.all_reduce(sum, "sum");
      group.all_reduce(most, "most", ReduceOp::max);
      group.all_reduce(least, "least", ReduceOp::min);
      failures.expect(all_are(sum, 6) && all_are(most, -1) && all_are(least, -3));
    }
    const Tensor from = on_gpu(rank, DType::f16);
    group.broadcast(from, "from", 2);
    failures.expect(all_are(from, 2));
    const Tensor all = group.all_gather(on_gpu(rank, DType::bf16), "all");
    failures.expect(all.shape() == Shape{3, 1000});
    for (int i = 0; i < 3; ++i) failures.expect(all_are(all.select(0, i), i));
    const Tensor parts = Tensor::full({3, 1000}, -1, {.device = "cuda"});
    parts.select(0, rank).fill_(rank);
    const WorkPtr gathered = group.start_all_gather_in_place(parts, "parts");
    gathered->wait();
    for (int i = 0; i < 3; ++i) failures.expect(all_are(parts.select(0, i), i));
    const Tensor on_cpu = Tensor::ones({2});
    group.all_reduce(on_cpu, "on the CPU");
    failures.expect(on_cpu.sum().item() == 6);
    group.barrier("end");
  });
  CHECK(nccl_script->rounds.size() == 4 * 3 + 3);  // none of the CPU's
  CHECK(nccl_script->destroys == 3);
  CHECK(nccl_script->aborts == 0);
}

TEST_CASE("queues wait for each other") {
  ScriptedNccl& script = new_script();
  dist::run_ranks(2, [&](ProcessGroup& group) {
    attach(group);
    for (int i = 0; i < 100; ++i) {
      const Tensor x = on_gpu(1), y = on_gpu(1);
      const WorkPtr first = group.start_all_reduce(x, ReduceOp::sum, "x");
      const WorkPtr second = group.start_all_reduce(y, ReduceOp::sum, "y");
      first->wait();
      second->wait();
    }
  });
  const std::vector<std::string> calls = script.calls();
  const std::vector<std::string> each = {"NCCL waits for the computation", "all_reduce",
                                         "NCCL waits for the computation", "all_reduce",
                                         "the computation waits for NCCL", "the computation waits for NCCL"};
  REQUIRE(calls.size() == 100 * each.size());
  for (size_t i = 0; i < calls.size(); ++i) CHECK(calls[i] == each[i % each.size()]);
}

TEST_CASE("ranks that never connect are given up in time, and the communicator is aborted") {
  ScriptedNccl& script = new_script();
  script.polls_until_done = -1;
  const auto start = Clock::now();
  const std::string error = error_of([] { NcclGroup(api, some_id(), options_of(1, 2)); });
  CHECK(error == "rank 1: NCCL 2.0.0 connects the ranks: not done after 0.3 s");
  CHECK(seconds_since(start) < 2);
  CHECK(script.aborts == 1);
}

TEST_CASE("NCCL that refuses the ranks, at once, later, or to make an id") {
  ScriptedNccl& script = new_script();
  const auto error = [] { return error_of([] { NcclGroup(api, some_id(), options_of(1, 2)); }); };
  script.init_code = 5;
  CHECK(error() == "rank 1: NCCL 2.0.0 connects the ranks: scripted error (5)");
  script.init_code = NcclApi::kInProgress;
  script.async_code = 2;
  CHECK(error() == "rank 1: NCCL 2.0.0 connects the ranks: scripted error (2)");
  script.id_code = 3;
  const auto share = [] { dist::run_ranks(2, [](ProcessGroup& group) { dist::share_nccl_id(api, group); }); };
  CHECK(contains(error_of(share), "rank 0: NCCL 2.0.0 makes no id for the ranks: scripted error (3)"));
}

TEST_CASE("a collective that NCCL takes late, not at all, or refuses") {
  ScriptedNccl& script = new_script();
  NcclGroup group(api, some_id(), options_of(0, 1));
  float x = 3;
  const auto start = [&] {
    return group.all_reduce({"all_reduce of x (4 bytes), collective #8", [] {}}, &x, 1, DType::f32, ReduceOp::sum);
  };
  script.collective_code = NcclApi::kInProgress;
  const WorkPtr work = start();
  work->wait();
  CHECK(x == 3);
  SUBCASE("not at all") {
    script.polls_until_done = -1;
    CHECK(error_of([&] { start(); }) == "rank 0: all_reduce of x (4 bytes), collective #8: not done after 0.3 s");
  }
  SUBCASE("refused") {
    script.collective_code = 4;
    CHECK(error_of([&] { start(); }) == "rank 0: all_reduce of x (4 bytes), collective #8: scripted error (4)");
  }
  CHECK(script.aborts == 1);
}

TEST_CASE("a collective is told to be complete though nobody waits for it, and its event is used again") {
  ScriptedNccl& script = new_script();
  std::atomic<int> completed = 0, signals = 0;
  NcclGroup group(api, some_id(), options_of(0, 1));
  float x = 1;
  for (int count = 1; count <= 50; ++count) {
    const auto complete = [&] {
      signals += scripted::takes_signals();
      ++completed;
    };
    const WorkPtr work = group.broadcast({"broadcast of x", complete}, &x, sizeof x, 0);
    const auto start = Clock::now();
    while (completed < count && seconds_since(start) < 10) std::this_thread::sleep_for(100us);
    REQUIRE(completed == count);
    CHECK(work->done());
  }
  CHECK(signals == 0);        // the thread that tells leaves them to the program's own
  CHECK(script.events <= 3);  // what was queued before; this collective; the last one, just complete
}

TEST_CASE("an error of another rank ends all collectives, with its text") {
  ScriptedNccl& script = new_script();
  script.collectives_hang = true;
  NcclGroup group(api, some_id(), options_of(1, 4));
  float x = 1;
  const auto call = [](const char* what) { return DeviceGroup::Call{what, [] {}}; };
  const WorkPtr work =
      group.all_reduce(call("all_reduce of x (4 bytes), collective #12"), &x, 1, DType::f32, ReduceOp::sum);
  CHECK_FALSE(work->done());
  SUBCASE("to one that asks") {
    script.async_code = 6;
    work->wait();  // as the device would: until the abort
  }
  SUBCASE("to one that waits for the device") {
    std::thread later([&] {
      std::this_thread::sleep_for(50ms);
      script.async_code = 6;
    });
    work->wait();
    later.join();
  }
  const std::string wanted = "rank 1: all_reduce of x (4 bytes), collective #12: scripted error (6)";
  CHECK(error_of([&] { work->done(); }) == wanted);
  CHECK(error_of([&] { work->wait(); }) == wanted);
  CHECK(error_of([&] { group.broadcast(call("broadcast of y"), &x, sizeof x, 0); }) == wanted);
  CHECK(error_of([&] { group.check(); }) == wanted);
  CHECK(script.aborts == 1);
  CHECK(script.aborts_with_signals == 0);
}

TEST_CASE("an error while NCCL takes the next collective") {
  ScriptedNccl& script = new_script();
  script.collectives_hang = true;
  NcclGroup::Options options = options_of(1, 4);
  options.timeout = 20s;
  NcclGroup group(api, some_id(), options);
  float x = 1;
  const auto start = [&] { return group.broadcast({"broadcast of x", [] {}}, &x, sizeof x, 0); };
  const WorkPtr first = start();
  script.collective_code = NcclApi::kInProgress;
  script.polls_until_done = -1;
  std::thread later([&] {
    std::this_thread::sleep_for(50ms);
    script.async_code = 6;
  });
  CHECK(error_of(start) == "rank 1: broadcast of x: scripted error (6)");  // whoever of the two threads sees it
  later.join();
  CHECK(script.aborts == 1);
}

TEST_CASE("an abort that hangs is not waited for") {
  ScriptedNccl& script = new_script();
  script.collectives_hang = script.abort_hangs = true;
  const auto start = Clock::now();
  {
    NcclGroup group(api, some_id(), options_of(0, 2));
    float x = 1;
    const WorkPtr work = group.all_reduce({"all_reduce of x", [] {}}, &x, 1, DType::f32, ReduceOp::sum);
    script.async_code = 6;
    CHECK(contains(error_of([&] {
                     while (!work->done()) std::this_thread::sleep_for(1ms);
                   }),
                   "scripted error (6)"));
  }
  CHECK(seconds_since(start) < 3);
  CHECK(script.aborts == 1);
  nccl_script.release();  // the thread that hangs has it still
}

// NCCL's time-out is the watchdog's, as in a run. The first collective of a kind makes connections, and NCCL takes it
// when all ranks have come.
TEST_CASE("a rank that does not come: the watchdog names it to a rank that waits, in time") {
  constexpr auto kTimeout = 1000ms;
  for (const bool is_first_of_its_kind : {false, true}) {
    CAPTURE(is_first_of_its_kind);
    ScriptedNccl& script = new_script();
    Failures failures;
    std::atomic<int> last_resorts = 0, named = 0;
    std::atomic<double> took = 0;
    const auto run = [&] {
      dist::run_ranks(2, [&](ProcessGroup& group) {
        watch(group, kTimeout, last_resorts);
        attach(group, kTimeout);
        group.barrier("all are connected");
        group.watchdog()->set_step(12);
        const auto start = Clock::now();
        try {
          if (!group.is_root()) {
            while (true) {  // it hangs in its own code, which asks the watchdog now and then
              group.watchdog()->check();
              std::this_thread::sleep_for(1ms);
            }
          }
          if (is_first_of_its_kind) script.never_taken();
          group.all_reduce(on_gpu(1), "gradients of fc.weight");
          group.barrier("what comes next");
        } catch (const dist::RankLost& lost) {
          const std::string text = lost.what();
          named += contains(text, "rank 1 (process ") && contains(text, "hangs at step 12") &&
                   contains(text, "all_reduce of gradients of fc.weight (4.0 kB)");
          failures.expect(lost.exit_code() == ExitCode::distributed);
          took = std::max(took.load(), seconds_since(start));
          throw;
        }
      });
    };
    CHECK_THROWS_AS(run(), dist::RankLost);
    CHECK(named == 2);
    CHECK(took < 1 + 3);
    CHECK(script.aborts >= 1);
    CHECK(last_resorts == 0);  // the abort let rank 0 go on
  }
}

TEST_CASE("a rank that is busy is waited for, also by the first collective of a kind") {
  constexpr auto kTimeout = 500ms;
  ScriptedNccl& script = new_script();
  Failures failures;
  std::atomic<int> last_resorts = 0;
  dist::run_ranks(2, [&](ProcessGroup& group) {
    watch(group, kTimeout, last_resorts);
    attach(group, kTimeout);
    group.barrier("all are connected");
    if (group.is_root()) {
      script.never_taken();
      const auto busy = group.busy("writing a checkpoint");
      group.barrier("rank 0 is busy");
      std::this_thread::sleep_for(2 * kTimeout);
      script.polls_until_done = 0;
    } else {
      group.barrier("rank 0 is busy");
    }
    const Tensor x = on_gpu(1);
    group.all_reduce(x, "x");
    failures.expect(all_are(x, 2));
  });
  CHECK(last_resorts == 0);
}

TEST_CASE("ranks that reduce differently, or broadcast from different ranks, are told") {
  using Start = std::function<void(ProcessGroup&, const Tensor&)>;
  const Start reduce = [](ProcessGroup& group, const Tensor& x) {
    group.all_reduce(x, "x", group.is_root() ? ReduceOp::sum : ReduceOp::max);
  };
  const Start broadcast = [](ProcessGroup& group, const Tensor& x) { group.broadcast(x, "x", group.rank()); };
  for (const auto& [start, on_rank0, on_rank1] :
       {std::tuple(reduce, "all_reduce of x (4.0 kB)", "all_reduce (max) of x (4.0 kB)"),
        std::tuple(broadcast, "broadcast of x (4.0 kB)", "broadcast from rank 1 of x (4.0 kB)")}) {
    ScriptedNccl& script = new_script();
    script.collectives_hang = true;
    std::atomic<int> last_resorts = 0, told = 0;
    const auto run = [&] {
      dist::run_ranks(2, [&](ProcessGroup& group) {
        watch(group, 5000ms, last_resorts);
        attach(group);
        try {
          start(group, on_gpu(1));
          while (true) group.throw_if_lost();
        } catch (const dist::RankLost& lost) {
          told += contains(lost.what(), "the ranks do not do the same") && contains(lost.what(), on_rank0) &&
                  contains(lost.what(), on_rank1);
          throw;
        }
      });
    };
    CHECK_THROWS_AS(run(), dist::RankLost);
    CHECK(told == 2);
  }
}

TEST_CASE("a network that is stuck is noticed while the ranks go on elsewhere") {
  ScriptedNccl& script = new_script();
  script.collectives_hang = true;
  std::atomic<int> last_resorts = 0, named = 0;
  const auto run = [&] {
    dist::run_ranks(2, [&](ProcessGroup& group) {
      watch(group, 1000ms, last_resorts);
      attach(group);
      const Tensor x = on_gpu(1);
      const WorkPtr work = group.start_all_reduce(x, ReduceOp::sum, "x");
      try {
        while (true) {  // over the CPU, where nothing is wrong
          group.barrier("each step");
          std::this_thread::sleep_for(10ms);
        }
      } catch (const dist::RankLost& lost) {
        named += contains(lost.what(), "all ranks are in collective #") && contains(lost.what(), "all_reduce of x");
        throw;
      }
    });
  };
  CHECK_THROWS_AS(run(), dist::RankLost);
  CHECK(named == 2);
}

TEST_CASE("where NCCL can serve the ranks, and why not") {
  using dist::why_not_nccl;
  CHECK(why_not_nccl({{"a", "0000:01:00.0", ""}, {"a", "0000:02:00.0", ""}, {"b", "0000:01:00.0", ""}}).empty());
  CHECK(why_not_nccl({{"a", "0000:01:00.0", ""}, {"b", "0000:01:00.0", ""}, {"b", "0000:01:00.0", ""}}) ==
        "ranks 1 and 2 share the GPU 0000:01:00.0 of b");
  CHECK(why_not_nccl({{"a", "0000:01:00.0", ""}, {"b", "", "works on the CPU"}}) == "rank 1 works on the CPU");
}

TEST_CASE("ranks tell each other where they are") {
  Failures failures;
  dist::run_ranks(3, [&](ProcessGroup& group) {
    failures.expect(dist::number_on_host(group) == group.rank());
    const auto places = dist::gather_places(group, group.rank() == 1 ? kCPU : Device("cuda"));
    failures.expect(places.size() == 3 && places[0].gpu == "0000:01:00.0" && places[1].gpu.empty());
    failures.expect(places[1].no_nccl == "works on the CPU" && places[0].host == places[1].host);
    failures.expect(contains(dist::why_not_nccl(places), "rank 0 has no NCCL: rstorch_cuda.so was built without NCCL"));
  });
}
