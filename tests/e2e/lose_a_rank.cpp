// lose_a_rank HOW: a program that catches nothing. Rank 1 is stopped (stop) or calls another collective than the others
// (differ).
#include <csignal>
#include <string>

#include <rstorch.h>

using namespace rstorch;

int main(int argc, char** argv) {
  distributed::init_process_group("auto", -1, -1, std::chrono::seconds(2));
  const std::string how = argc > 1 ? argv[1] : "";
  const bool odd = distributed::get_rank() == 1;
  if (odd && how == "stop") ::raise(SIGSTOP);
  const Tensor x = Tensor::ones({odd && how == "differ" ? 1000 : 10});
  for (int step = 0; step < 3; ++step) distributed::all_reduce(x);
  distributed::destroy_process_group();
}
