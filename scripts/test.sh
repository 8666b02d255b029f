#!/usr/bin/env bash
# Installs what is missing, builds and runs the whole suite. With --all the tests of CUDA kernels run under the sanitizers
# too, which takes a third longer.
# The last line is "N passed, N failed": doctest's cases plus the checks that scripts count themselves.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/setup.sh

passed=0 failed=0

# configure FOLDER MESON_OPTIONS. Each library as one file (unity): most of the time is the compiler's.
configure() { [ -f "$1/build.ninja" ] || meson setup -Dunity=on -Dunity_size=100 "$@"; }

# suite FOLDER TEST_OPTIONS: builds what these tests need, runs them, and adds up what the log counts.
suite() {
  local folder=$1 status=0
  shift
  # One more than there are processors: some tests wait for others to be missed.
  meson test -C "$folder" --print-errorlogs --num-processes $(($(nproc) + 1)) "$@" || status=$?
  local log=$folder/meson-logs/testlog.txt ok bad
  ok=$(sed -nE 's/^\[doctest\] test cases: +[0-9]+ \| +([0-9]+) passed.*/\1/p; s/^([0-9]+) passed, [0-9]+ failed$/\1/p' "$log" | awk '{n += $1} END {print n + 0}')
  bad=$(sed -nE 's/^\[doctest\] test cases: .*passed \| +([0-9]+) failed.*/\1/p; s/^[0-9]+ passed, ([0-9]+) failed$/\1/p' "$log" | awk '{n += $1} END {print n + 0}')
  # A program that crashed or timed out counted nothing of its own.
  [ "$status" -eq 0 ] || [ "$bad" -gt 0 ] || bad=1
  passed=$((passed + ok))
  failed=$((failed + bad))
}

configure build-test
suite build-test --no-suite ranks

# The unit suite again under the sanitizers. Not optimised, and without the checks that address's own make
# superfluous. The tests of ranks, which mostly wait, run meanwhile.
configure build-sanitize -Db_sanitize=address,undefined -Db_lundef=false -Doptimization=0 -Dwerror=false -Dgpu=disabled \
  -Dcpp_args=-fno-sanitize=null,vptr,object-size,alignment
programs=(unit-tests) tests=(--suite unit --no-suite cuda)
[ "${1:-}" != --all ] || programs+=(cuda-tests) tests=(--suite unit)
nice -n 19 ninja -C build-sanitize "${programs[@]}" >build-sanitize/build.log 2>&1 &
suite build-test --suite ranks
wait $! || tail -50 build-sanitize/build.log
export ASAN_OPTIONS=detect_leaks=1:strict_string_checks=1 UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
suite build-sanitize "${tests[@]}" --timeout-multiplier 5

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
