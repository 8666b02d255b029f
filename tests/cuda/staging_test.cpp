// CUDA tensors in groups of ranks that exchange the CPU's memory: threads, or the processes that mpirun started.
#include <functional>
#include <limits>

#include <doctest/doctest.h>

#include "dist/connect.h"
#include "dist/thread_group.h"
#include "ops/ops.h"
#include "tensor/runtime.h"
#include "unit/failures.h"

using namespace rstorch;
using dist::ProcessGroup;
using dist::ReduceOp;
using dist::WorkPtr;

namespace {

// What each rank brings: other numbers on each, the same on both devices.
Tensor numbers_of(int rank, DType dtype, const Shape& shape) {
  const Tensor x = Tensor::arange(shape.numel()).reshape(shape);
  return (is_floating(dtype) ? ((x.to(DType::f64) + 7 * rank).sin() * 100).to(dtype) : (x + 7 * rank).to(dtype));
}

bool same(const Tensor& a, const Tensor& b) {
  return a.device() != b.device() && a.shape() == b.shape() && a.dtype() == b.dtype() &&
         a.to_vector<double>() == b.to_vector<double>();
}

// As a rank of mpirun's group, which can be joined once; without one, as so many threads.
void with_ranks(std::initializer_list<int> sizes, const std::function<void(ProcessGroup&)>& rank) {
  if (dist::find_launch()) {
    struct Joined {
      dist::Connected ranks = dist::connect();
      ~Joined() { ranks.group->leave(); }
    };
    static const Joined joined;
    return rank(*joined.ranks.group);
  }
  for (const int size : sizes) dist::run_ranks(size, rank);
}

}  // namespace

TEST_CASE("collectives on CUDA tensors give what they give on the CPU") {
  Failures failures;
  with_ranks({1, 2, 5}, [&](ProcessGroup& group) {
    const int size = group.size();
    for (const DType dtype : {DType::f32, DType::f64, DType::i64, DType::i32}) {
      for (const ReduceOp op : {ReduceOp::sum, ReduceOp::min, ReduceOp::max}) {
        const Tensor on_cpu = numbers_of(group.rank(), dtype, {17, 33}), on_gpu = on_cpu.to("cuda");
        group.all_reduce(on_cpu, "on cpu", op);
        group.all_reduce(on_gpu, "on cuda", op);
        failures.expect(same(on_gpu, on_cpu));
      }
    }
    for (const DType dtype : {DType::f16, DType::f32, DType::u8}) {
      const Tensor on_cpu = numbers_of(group.rank(), dtype, {5, 7}), on_gpu = on_cpu.to("cuda");
      failures.expect(same(group.all_gather(on_gpu, "all on cuda"), group.all_gather(on_cpu, "all on cpu")));
      group.broadcast(on_cpu, "on cpu", size - 1);
      group.broadcast(on_gpu, "on cuda", size - 1);
      failures.expect(same(on_gpu, on_cpu));
    }
    const Tensor parts = numbers_of(group.rank(), DType::f32, {size, 5}), parts_on_gpu = parts.to("cuda");
    group.start_all_gather_in_place(parts, "parts on cpu")->wait();
    group.start_all_gather_in_place(parts_on_gpu, "parts on cuda")->wait();
    failures.expect(same(parts_on_gpu, parts));
    const Tensor nothing = Tensor::empty({0, 3}, {.device = "cuda"});
    group.all_reduce(nothing, "nothing");
    failures.expect(group.all_gather(nothing, "nothing").shape() == Shape{size, 0, 3});
  });
}

TEST_CASE("a part of a CUDA tensor, several under way, asked or waited for") {
  Failures failures;
  with_ranks({3}, [&](ProcessGroup& group) {
    const Tensor flat = Tensor::ones({100}, {.device = "cuda"});
    const WorkPtr first = group.start_all_reduce(flat.part({60}, 0), ReduceOp::sum, "first");
    const WorkPtr second = group.start_all_reduce(flat.part({30}, 70), ReduceOp::sum, "second");
    second->wait();
    while (!first->done()) {
    }
    first->wait();
    failures.expect(first->done() && second->done());
    std::vector<double> wanted(100, group.size());
    std::fill(wanted.begin() + 60, wanted.begin() + 70, 1);
    failures.expect(flat.to_vector<double>() == wanted);
  });
}

TEST_CASE("a gather of more than MPI can count is refused, not begun") {
  if (!dist::find_launch()) return;  // threads count in size_t
  with_ranks({}, [](ProcessGroup& group) {
    const int64_t most = std::numeric_limits<int>::max() / group.size();
    uint8_t first = 0;  // the only byte that there is: none is looked at
    const Tensor all = Tensor::wrap(&first, {group.size(), most + 1}, DType::u8, nullptr);
    CHECK_THROWS_WITH_AS(group.start_all_gather_in_place(all, "all"), doctest::Contains("wanted at most 2147483647"),
                         DistError);
  });
}

TEST_CASE("steps in steady state ask the system for no pinned memory") {
  Failures failures;
  with_ranks({2}, [&](ProcessGroup& group) {
    const Tensor x = Tensor::ones({1000}, {.device = "cuda"});
    const auto step = [&] {
      const WorkPtr work = group.start_all_reduce(x, ReduceOp::sum, "x");
      group.barrier("both ranks have memory");
      work->wait();
      group.barrier("end of the step");
    };
    step();
    const size_t before = cuda::pinned_memory(0).stats().system_allocations;
    group.barrier("all have read it");
    for (int i = 0; i < 20; ++i) step();
    failures.expect(cuda::pinned_memory(0).stats().system_allocations == before);
    failures.expect(before > 0);
  });
  CHECK(cuda::pinned_memory(0).stats().live_bytes == 0);
}
