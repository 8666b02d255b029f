#!/usr/bin/env bash
# What becomes of a run when a rank dies, stops, hangs or fails, or the ranks differ: rank_faults.sh RSTORCH [TIMES].
# Each ends within the time-out and three seconds, with the documented exit code, one message that names the rank, and no
# process left. A run that was cut so goes on from its last checkpoint.
source "$(dirname "$0")/common.sh"
times=${2:-5}
passed=0
ok() { passed=$((passed + 1)); }
{ command -v mpirun && [ -e "$(dirname "$rstorch")/src/dist/mpi/rstorch_mpi.so" ]; } >/dev/null || { echo "skipped: there is no mpirun, or the build has no MPI"; echo "0 passed, 0 failed"; exit 0; }
unset OMP_NUM_THREADS
config=$source_dir/tests/e2e/long_run.yaml
timeout=2

no_process_left() {
  for _ in $(seq 30); do
    pgrep -f "run.dir=$work/" >/dev/null || return 0
    sleep 0.1
  done
  fail "left behind: $(pgrep -af "run.dir=$work/")"
}

said_once() { [ "$(grep -c 'error\[' "$work/err")" -eq 1 ] || fail "not said once: $(cat "$work/err")"; }

# ends_with CODE SECONDS COMMAND...
ends_with() {
  local code=$1 most=$2 begin=$EPOCHREALTIME
  shift 2
  expect_exit "$code" timeout -k 5 60 "$@"
  awk -v a="$begin" -v b="$EPOCHREALTIME" -v most="$most" 'BEGIN {exit b - a > most}' || fail "took too long: $*"
  no_process_left
}

# ends_after_fault CODE RUN COMMAND...: and in time, counted from the last line of the run's metrics, which has one every few steps.
# Time-out and three seconds are for the ranks; one more is for mpirun to end.
slowest=0
ends_after_fault() {
  local code=$1 run=$2
  shift 2
  ends_with "$code" 40 "$@"
  slowest=$(awk -v a="$(stat -c %.Y "$run/metrics.jsonl")" -v b="$EPOCHREALTIME" -v most="$((timeout + 3 + 1))" -v slowest="$slowest" '
    BEGIN {d = b - a; print (d > slowest ? d : slowest); exit d > most}') || fail "took $slowest s after the fault: $*"
}

limit=$((timeout + 3 + 10))  # with what mpirun takes to start and to end on a busy machine
for i in $(seq "$times"); do
  rank=$((RANDOM % 3)) step=$((RANDOM % 60 + 10))
  for fault in kill stop hang; do
    ends_after_fault 7 "$work/$fault-$i/run" "$rstorch" launch -n 3 train "$config" "run.dir=$work/$fault-$i" "distributed.timeout=${timeout}s" \
      --inject "$fault:rank=$rank@step=$step"
    expect_text "$work/err" "error[E0702]: rank $rank (process "
    said_once
    ok
  done
  ends_with 4 "$limit" "$rstorch" launch -n 3 train "$config" "run.dir=$work/error-$i" --inject "error:rank=$rank@step=$step"
  expect_text "$work/err" "rank $rank: error[E0404]: sample 0 cannot be read"
  said_once
  ok

  # mpirun itself is killed.
  timeout -k 5 60 mpirun --allow-run-as-root -q --oversubscribe --bind-to none -n 2 "$rstorch" train "$config" \
    "run.dir=$work/mpirun-$i" trainer.max_steps=1000000 >/dev/null 2>&1 &
  sleep "1.$((RANDOM % 5))"
  pkill -9 -x mpirun -P $! || fail "there is no mpirun to kill"
  wait $! 2>/dev/null || true
  no_process_left
  ok

  # One rank was given another config.
  cat >"$work/other" <<END
#!/bin/sh
[ "\$OMPI_COMM_WORLD_RANK" = 1 ] && set -- "\$@" optimizer.lr=0.5
exec "$rstorch" "\$@"
END
  chmod +x "$work/other"
  ends_with 3 "$limit" env RSTORCH_LAUNCH_PROGRAM="$work/other" "$rstorch" launch -n 3 train "$config" "run.dir=$work/config-$i"
  expect_text "$work/err" "rank 1 has another config than rank 0: it differs in optimizer."
  said_once
  [ ! -e "$work/config-$i/run" ] || fail "a run folder was made"
  ok
done

# A rank does not come: it is another program, runs another command, or was stopped before MPI.
mpirun=(mpirun --allow-run-as-root -q --oversubscribe --bind-to none -n 1 "$rstorch" train "$config" "run.dir=$work/alone")
ends_with 7 "$limit" env RSTORCH_START_TIMEOUT=$timeout "${mpirun[@]}" : -n 1 sleep 1000
expect_text "$work/err" "error[E0702]: rank 0 of 2 (process "
expect_text "$work/err" "RSTORCH_START_TIMEOUT"
said_once
ok
ends_with 2 "$limit" "${mpirun[@]}" : -n 1 "$rstorch" eval "$work/alone"
expect_text "$work/err" 'error[E0212]: the ranks run different commands: rank 0 `rstorch train`, rank 1 `rstorch eval`'
said_once
ok
for rank in 0 2; do
  cat >"$work/stopped" <<END
#!/bin/sh
[ "\$OMPI_COMM_WORLD_RANK" != $rank ] || kill -STOP \$\$
exec "$rstorch" "\$@"
END
  chmod +x "$work/stopped"
  ends_with 7 "$limit" env RSTORCH_START_TIMEOUT=3 RSTORCH_LAUNCH_PROGRAM="$work/stopped" "$rstorch" launch -n 3 train "$config" "run.dir=$work/stopped-$rank"
  expect_text "$work/err" "for the other ranks to start"
  said_once
  ok
done
ends_with 2 5 env RANK=0 WORLD_SIZE=2 "$rstorch" train "$config" "run.dir=$work/alone"
expect_text "$work/err" "unset RANK and WORLD_SIZE"
said_once
ok

# A rank has ended, but mpirun does not end the others.
cat >"$work/first" <<END
#!/bin/sh
[ "\$OMPI_COMM_WORLD_RANK" = 1 ] && exec sleep 2
exec sleep 1000
END
chmod +x "$work/first"
ends_with 7 45 env RSTORCH_LAUNCH_PROGRAM="$work/first" "$rstorch" launch -n 2 train "$config" "run.dir=$work/first-run"
expect_text "$work/err" "a rank ended, and mpirun did not end the others: it was killed"
said_once
ok

# mpirun does not listen when the launcher is killed.
cat >"$work/mpirun" <<END
#!/bin/bash
[ "\$1" != --version ] || { echo "mpirun (Open MPI) 4.1.4"; exit; }
trap "" TERM
touch "$work/deaf"
while :; do sleep 1; done
END
chmod +x "$work/mpirun"
RSTORCH_MPIRUN="$work/mpirun" "$rstorch" launch -n 2 train "$config" "run.dir=$work/deaf-run" >/dev/null 2>&1 &
for _ in $(seq 50); do [ -e "$work/deaf" ] || sleep 0.1; done
{ kill -9 $! && wait $!; } 2>/dev/null || true
sleep 5
no_process_left
ok

# A slow rank is waited for.
ends_with 0 30 "$rstorch" launch -n 2 train "$config" "run.dir=$work/slow" distributed.timeout=2s trainer.max_steps=40 --inject slow:rank=1@step=5
ok

# Restarted by the launcher, from the last checkpoint, to the bits of a run that nothing happened to.
ends_with 0 30 "$rstorch" launch -n 3 train "$config" "run.dir=$work/whole"
cat >"$work/once" <<END
#!/bin/sh
case "\$*" in *--resume*) ;; *) set -- "\$@" --inject kill:rank=1@step=700 ;; esac
exec "$rstorch" "\$@"
END
chmod +x "$work/once"
ends_with 0 40 env RSTORCH_LAUNCH_PROGRAM="$work/once" "$rstorch" launch -n 3 --max-restarts 1 train "$config" "run.dir=$work/kill-again"
same_end "$work/whole/run" "$work/kill-again/run"
ok
echo "the slowest end came $slowest s after its fault, with a time-out of $timeout s"
echo "$passed passed, 0 failed"
