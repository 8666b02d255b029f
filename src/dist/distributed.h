// torch.distributed's functions: the ranks of this program as one default group.
//
//   distributed::init_process_group();          // mpirun -n 4 ./program: rank and world size are the launcher's
//   distributed::all_reduce(x);                 // in place, the sum over all ranks
//   nn::DistributedDataParallel model(Net{});   // see dist/distributed_data_parallel.h
//   distributed::destroy_process_group();
//
// A program that no launcher started is the only rank, and nothing here costs it anything. All ranks make the same
// calls in the same order, from one thread. A rank that dies, hangs or does something else ends all: the others throw
// dist::RankLost, or, where their main thread cannot or nobody catches that, end with exit code 7 and one message.
#pragma once

#include <chrono>
#include <string_view>

#include "dist/process_group.h"

namespace rstorch::distributed {

using dist::ReduceOp;

// Once in a process. `backend`: "mpi", or "auto", which takes what there is. `rank` and `world_size` are the
// launcher's; given, they are checked. `timeout`: how long a rank waits for the others. Throws ArgumentError,
// DistError.
void init_process_group(std::string_view backend = "auto", int rank = -1, int world_size = -1,
                        std::chrono::milliseconds timeout = std::chrono::minutes(5));
// All ranks call it when they have nothing more to say to each other; a program that ends without does it then.
void destroy_process_group();
bool is_initialized();

// The functions below throw DistError where there is no group.
dist::ProcessGroup& default_group();
int get_rank();
int get_world_size();
int get_local_rank();  // the rank's number among those of its host

// In place. x is contiguous: f32, f64, i64 or i32.
void all_reduce(const Tensor& x, ReduceOp op = ReduceOp::sum);
// Rank src's values go to all. Any dtype.
void broadcast(const Tensor& x, int src);
// x of all ranks, in their order: [world_size, ...].
Tensor all_gather(const Tensor& x);
void barrier();

}  // namespace rstorch::distributed
