#!/usr/bin/env bash
# Installs what is missing and builds rstorch into build/: `scripts/build.sh && build/rstorch train configs/digits_cnn.yaml`.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/setup.sh
[ -f build/build.ninja ] || meson setup build -Dtests=false
ninja -C build
