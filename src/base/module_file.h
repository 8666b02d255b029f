// Parts of the program that are opened only when they are needed: rstorch_cuda.so, rstorch_mpi.so.
#pragma once

#include <string>

namespace rstorch {

// Where such a module is: what the environment's `variable` names; else beside the program or librstorch.so, as
// installed, as built (in `build_folder`, from the program or from a test); else its bare name, for the loader to find.
std::string module_path(const char* file, const char* variable, const char* build_folder);

}  // namespace rstorch
