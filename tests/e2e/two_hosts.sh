#!/usr/bin/env bash
# Ranks on two hosts, which are two network namespaces of this machine with a wire between them: the numbers of one process, a
# wire that is cut for a while, and one that is cut for good: two_hosts.sh RSTORCH COMPARE_WEIGHTS [TIMES].
compare_weights=$(realpath "$2")
source "$(dirname "$0")/common.sh"
times=${3:-5}
passed=0
ok() { passed=$((passed + 1)); }
source "$(dirname "$0")/hosts.sh"

config=$source_dir/tests/e2e/long_run.yaml
expect_exit 0 "$rstorch" train "$config" "run.dir=$work/one" trainer.max_steps=100
for run in two again; do
  expect_exit 0 on_two_hosts train "$config" "run.dir=$work/$run" trainer.max_steps=100
  none_left
done
expect_exit 0 "$compare_weights" "$work/one/run/checkpoints/last" "$work/two/run/checkpoints/last" 1e-6
echo "two hosts: weights differ by $(cat "$work/out")"
same_end "$work/two/run" "$work/again/run"
ok

expect_exit 0 on_two_hosts train "$config" "run.dir=$work/whole"
for i in $(seq "$times"); do
  # While the wire is cut for 3 s the run waits.
  (sleep "1.$((RANDOM % 10))"; wire down; sleep 3; wire up) &
  expect_exit 0 on_two_hosts train "$config" "run.dir=$work/cut-$i" distributed.timeout=20s
  wait
  none_left
  same_end "$work/whole/run" "$work/cut-$i/run"
  ok

  # Cut for good: the ranks end and say with whom there is no word; mpirun, which waits for the other host, gets 5 s.
  (sleep "2.$((RANDOM % 10))"; wire down; date +%s.%N >"$work/cut-at") &
  expect_exit 7 on_two_hosts train "$config" "run.dir=$work/gone-$i" distributed.timeout=4s trainer.max_steps=1000000
  wait
  awk -v a="$(cat "$work/cut-at")" -v b="$EPOCHREALTIME" 'BEGIN {printf "ended %.1f s after the cut\n", b - a; exit b - a > 4 + 3 + 5}' || fail "took too long"
  expect_text "$work/err" "error[E0702]: rank 1 (process "
  none_left
  wire up
  ok
done
echo "$passed passed, 0 failed"
