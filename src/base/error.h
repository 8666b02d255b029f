// Errors that a user can act on.
//
// Every error says: operation, argument, got, wanted; where there is one, a hint, the module path and the YAML position.
// The number Exxyy is stable: xx is the exit code of the program (see ExitCode), yy tells errors of a kind apart.
// Library code throws these and nothing else; it never prints, exits or aborts.
#pragma once

#include <stdexcept>
#include <string>

#include "base/format.h"
#include "base/source_position.h"

namespace rstorch {

// What the program returns to the shell.
enum class ExitCode : int {
  success = 0,
  internal = 1,
  usage = 2,
  config = 3,
  data = 4,
  out_of_memory = 5,
  nonfinite = 6,
  distributed = 7,
  expectation = 8,
  checkpoint = 9,
  requeue = 75,  // stopped by a signal or a time limit after a complete checkpoint
};

class Error : public std::runtime_error {
 public:
  // code: 100 * exit code + number within the kind, as in E0307.
  Error(int code, const std::string& message, std::string hint = {})
      : std::runtime_error(message), code_(code), hint_(std::move(hint)) {}

  int code() const { return code_; }
  ExitCode exit_code() const { return static_cast<ExitCode>(code_ / 100); }
  const std::string& hint() const { return hint_; }
  const std::string& module_path() const { return module_path_; }
  const SourcePosition& position() const { return position_; }

  // Called while the error travels outwards through nested modules: "conv1", then "layer1.conv1".
  void prepend_module(const std::string& name) { module_path_ = module_path_.empty() ? name : name + "." + module_path_; }
  void set_position(SourcePosition position) { position_ = std::move(position); }

  // "error[E0101]: MESSAGE", then indented lines for position, module and hint. No newline at the end.
  virtual std::string report() const;

 private:
  int code_;
  std::string hint_;
  std::string module_path_;
  SourcePosition position_;
};

// One class per kind. `yy` is the number within the kind.
template <int Kind>
class ErrorOf : public Error {
 public:
  explicit ErrorOf(const std::string& message, std::string hint = {}, int yy = 1)
      : Error(Kind * 100 + yy, message, std::move(hint)) {}
};

struct InternalError : ErrorOf<1> { using ErrorOf::ErrorOf; };
struct ShapeError : Error { explicit ShapeError(const std::string& m, std::string hint = {}) : Error(102, m, std::move(hint)) {} };
struct DTypeError : Error { explicit DTypeError(const std::string& m, std::string hint = {}) : Error(103, m, std::move(hint)) {} };
struct DeviceError : Error { explicit DeviceError(const std::string& m, std::string hint = {}) : Error(104, m, std::move(hint)) {} };
struct AutogradError : Error { explicit AutogradError(const std::string& m, std::string hint = {}) : Error(105, m, std::move(hint)) {} };
struct ArgumentError : Error { explicit ArgumentError(const std::string& m, std::string hint = {}) : Error(106, m, std::move(hint)) {} };
struct UsageError : ErrorOf<2> { using ErrorOf::ErrorOf; };
struct ConfigError : ErrorOf<3> { using ErrorOf::ErrorOf; };
struct DataError : ErrorOf<4> { using ErrorOf::ErrorOf; };
struct OutOfMemoryError : ErrorOf<5> {
  using ErrorOf::ErrorOf;
  // Bytes: what was asked for, what is handed out, what the device still has. All 0 where that is not known.
  size_t wanted = 0, in_use = 0, free = 0;
};
struct NonFiniteError : ErrorOf<6> { using ErrorOf::ErrorOf; };
struct DistError : ErrorOf<7> { using ErrorOf::ErrorOf; };
struct ExpectationError : ErrorOf<8> { using ErrorOf::ErrorOf; };
struct CheckpointError : ErrorOf<9> { using ErrorOf::ErrorOf; };

}  // namespace rstorch
