#!/usr/bin/env bash
# Packs a build into one archive that runs where rstorch's packages are not installed: any x86-64 Linux with the glibc of
# Debian 12 (2.36) or newer.
#
#   scripts/bundle.sh [--tests] [BUILD_FOLDER [ARCHIVE]]      # default: build rstorch-VERSION.tar.gz
#   tar -xzf rstorch-0.1.0.tar.gz && rstorch-0.1.0/bin/rstorch doctor
#
# In it: the program, its modules for CUDA and MPI where the build has them, Open MPI, every library they need but libc's and
# NVIDIA's, configs and small data; with --tests also the tests of CUDA, for scripts/gpu_check.sh. NVIDIA's libraries are found
# by bin/rstorch (scripts/bundle_launcher.sh), in the system, a toolkit or pip's packages.
set -euo pipefail
cd "$(dirname "$0")/.."
tests=
if [ "${1:-}" = --tests ]; then
  tests=yes
  shift
fi
build=${1:-build}
version=$(sed -n "s/^  version: '\(.*\)',/\1/p" meson.build)
name=rstorch-$version
archive=$(realpath -m "${2:-$name.tar.gz}")
[ -x "$build/rstorch" ] || { echo "bundle: no $build/rstorch; scripts/build.sh makes it, or name a build folder" >&2; exit 2; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
top=$work/$name
mkdir -p "$top/bin" "$top/lib/rstorch"

# The modules lie beside the program, where it looks first.
program=$top/lib/rstorch
cp "$build/rstorch" "$program"
for module in "$build/kernels/cuda/rstorch_cuda.so" "$build/src/dist/mpi/rstorch_mpi.so"; do
  if [ -e "$module" ]; then cp "$module" "$program"; else echo "bundle: without $(basename "$module"), which $build has not"; fi
done

install -m 755 scripts/bundle_launcher.sh "$top/bin/rstorch"
if [ -n "$tests" ]; then
  for test in "$build"/tests/ops/ops_test "$build"/tests/cuda/cuda_*_test; do
    cp "$test" "$program"
    ln -s rstorch "$top/bin/$(basename "$test")"
  done
fi

# Open MPI in the layout of its package, which OPAL_PREFIX moves as a whole. Not its plugins for networks whose libraries the
# machine must have anyway, nor those that nothing here uses.
if [ -e "$program/rstorch_mpi.so" ]; then
  libraries=lib/$(gcc -print-multiarch)
  mkdir -p "$top/mpi/bin" "$top/mpi/share"
  cp -L "$(command -v mpirun)" "$top/mpi/bin/mpirun"
  cp -L "$(command -v orted)" "$top/mpi/bin/orted"
  for folder in openmpi/lib/openmpi3 pmix2/lib/pmix; do
    mkdir -p "$top/mpi/$libraries/$folder"
    find "/usr/$libraries/$folder" -name '*.so' | grep -vE 'ucx|ofi|psm|openib|monitoring|flux|_(atomic|memheap|scoll|spml|sshmem)_' |
      xargs cp -t "$top/mpi/$libraries/$folder"
  done
  cp -r /usr/share/openmpi "$top/mpi/share"
  [ ! -d /usr/share/pmix ] || cp -r /usr/share/pmix "$top/mpi/share"
fi

is_elf() { [ "$(head -c 4 "$1" | tail -c 3)" = ELF ]; }
elf_files() { find "$top" -type f | while read -r file; do if is_elf "$file"; then echo "$file"; fi; done; }

# What ldd finds of their libraries: their own and those of their libraries. libc's belong to the machine.
elf_files | xargs ldd 2>/dev/null | awk '$2 == "=>" && $3 ~ /^\// {print $3}' | sort -u |
  grep -vE '/(ld-linux[^/]*|lib(c|m|dl|rt|pthread|resolv|util|nsl|anl))\.so|/lib(cuda|cudart|cudnn|cublas|nvrtc|nvJitLink|nvidia|nccl)[^/]*\.so' |
  xargs cp -L -t "$top/lib"
elf_files | xargs strip --strip-unneeded

# The names of NVIDIA's libraries that the module was linked with, for bin/rstorch, and of the one that it opens.
if [ -e "$program/rstorch_cuda.so" ]; then
  { objdump -p "$program/rstorch_cuda.so" | awk '$1 == "NEEDED" && $2 ~ /^lib(cu|nv)/ {print $2}'; echo libnccl.so.2; } \
    >"$program/nvidia_libraries"
fi

mkdir "$top/datasets"
cp -r configs LICENSE README.md "$top"
cp -r datasets/README.md datasets/digits datasets/iris "$top/datasets"
git rev-parse HEAD >"$top/COMMIT" 2>/dev/null || rm -f "$top/COMMIT"

tar -C "$work" --owner=0 --group=0 -I 'gzip -9' -cf "$archive" "$name"
echo "$archive: $(du -m "$archive" | cut -f 1) MiB"
