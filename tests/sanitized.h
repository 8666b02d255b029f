// Limits of time hold for programs as users run them, not under the sanitizers, which slow them down.
#pragma once

namespace rstorch {

#ifdef __SANITIZE_ADDRESS__
inline constexpr double kSlowdown = 20;
#else
inline constexpr double kSlowdown = 1;
#endif

}  // namespace rstorch
