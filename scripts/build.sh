#!/usr/bin/env bash
# Installs what is missing and builds rstorch into build/: `scripts/build.sh && build/rstorch train configs/digits_cnn.yaml`.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/setup.sh
# Each library as one file (unity): a third less work for the compiler. To work on rstorch, `meson setup` without it.
[ -f build/build.ninja ] || meson setup build -Dtests=false -Dunity=on -Dunity_size=100
ninja -C build
