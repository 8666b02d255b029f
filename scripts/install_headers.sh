#!/bin/sh
# Run by `meson install`: the headers that <rstorch.h> needs.
set -eu
cd "$(dirname "$0")/.."
target=$MESON_INSTALL_DESTDIR_PREFIX/include/rstorch
mkdir -p "$target"
cp src/rstorch.h "$target"
find kernels/*.h kernels/elementwise -name '*.h' -exec cp --parents {} "$target" \;
cd src
find base tensor autograd ops config nn optim data dist -name '*.h' -exec cp --parents {} "$target" \;
