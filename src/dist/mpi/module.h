// What rstorch_mpi.so offers: the one thing that the program and the module know of each other. The module is opened
// only in a process that a launcher started, so that all others need no MPI. Contains no MPI header.
//
// The module's only exported function, rstorch_mpi_module(), returns this table.
#pragma once

#include "dist/process_group.h"

namespace rstorch::dist {

struct MpiModule {
  const char* version;  // must equal the program's before anything else here is used
  // Starts MPI. Once in a process. Throws DistError.
  GroupPtr (*start)();
  std::string (*library)();  // "Open MPI 4.1.4"
};

}  // namespace rstorch::dist
