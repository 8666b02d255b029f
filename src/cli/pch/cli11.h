// Compiled once for all commands: CLI11 is most of what each of them would compile.
#include <CLI/CLI.hpp>
