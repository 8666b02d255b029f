#!/usr/bin/env bash
# The long form of tests/e2e/kill.sh: kills a training run 50 times (or as often as said) with -9 at random moments.
#   scripts/soak_kill.sh [TIMES] [RSTORCH]
here=$(dirname "$0")
exec "$here/../tests/e2e/kill.sh" "${2:-$here/../build/rstorch}" "${1:-50}"
