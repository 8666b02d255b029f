#!/usr/bin/env bash
# What `meson install` puts down works: the program, and the library for a program of one's own, found through pkg-config.
# install.sh RSTORCH LIBRARY BUILD_FOLDER
build=$(realpath "$3")
source "$(dirname "$0")/common.sh"
passed=0
ok() { passed=$((passed + 1)); }

expect_exit 0 meson install -C "$build" --no-rebuild --destdir "$work/root"
prefix=$(dirname "$(dirname "$(find "$work/root" -path '*/bin/rstorch')")")
"$prefix/bin/rstorch" list >"$work/out" || fail "the installed program does not run"
ok

pc=$(find "$prefix" -name rstorch.pc)
export PKG_CONFIG_PATH=$(dirname "$pc") PKG_CONFIG_SYSROOT_DIR=$work/root
read -ra flags < <(pkg-config --cflags --libs rstorch | sed "s#-I$work/root/usr/include##")
libraries=$(dirname "$(dirname "$pc")")
for name in linear_regression distributed_data_parallel; do
  expect_exit 0 g++ -O0 "$source_dir/tests/examples/$name.cpp" -o "$work/$name" "${flags[@]}"
  expect_exit 0 env LD_LIBRARY_PATH="$libraries" "$work/$name"
  ok
done

if command -v mpirun >/dev/null && [ -e "$(dirname "$rstorch")/src/dist/mpi/rstorch_mpi.so" ]; then
  # The library finds its module for MPI beside itself.
  export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMP_NUM_THREADS=1 LD_LIBRARY_PATH=$libraries
  expect_exit 0 timeout -k 5 60 mpirun --oversubscribe --bind-to none -n 2 "$work/distributed_data_parallel"
  ok
fi
echo "$passed passed, 0 failed"
