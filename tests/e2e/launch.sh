#!/usr/bin/env bash
# `rstorch launch` with Open MPI's mpirun and stand_in_rank.sh in the place of the ranks: what mpirun is told, exit codes,
# signals, restarts, and that nothing stays behind. The last line counts the checks.
source "$(dirname "$0")/common.sh"
unset OMP_NUM_THREADS OPAL_PREFIX RSTORCH_MPIRUN SLURM_JOB_NUM_NODES PBS_NODEFILE
passed=0 failed=0

# check WHAT COMMAND...: counts it.
check() {
  local what=$1
  shift
  if "$@"; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    echo "FAIL: $what: exit code ${code:-none}: $(cat "$work/err" 2>/dev/null)"
  fi
}
finish() {
  echo "$passed passed, $failed failed"
  [ "$failed" -eq 0 ]
  exit
}

export STAND_IN=$work/ranks RSTORCH_LAUNCH_PROGRAM=$source_dir/tests/e2e/stand_in_rank.sh TMPDIR=$work/tmp
mkdir "$TMPDIR"
train=(train "$source_dir/tests/e2e/long_run.yaml" "run.dir=$STAND_IN/runs")

# ranks_do WHAT: what the ranks of the next launches do.
ranks_do() {
  rm -rf "$STAND_IN"
  mkdir "$STAND_IN"
  echo "$*" >"$STAND_IN/does"
}
# launch ARGUMENTS...: to its end; its exit code in $code.
launch() {
  code=0
  timeout -k 2 20 "$rstorch" launch "$@" >"$work/out" 2>"$work/err" </dev/null || code=$?
}
# begin ARGUMENTS...: behind this script; its number in $launcher. Returns when both ranks are ready.
begin() {
  (trap - INT; exec "$rstorch" launch "$@") >"$work/out" 2>"$work/err" </dev/null &
  launcher=$!
  for _ in $(seq 100); do
    [ "$(grep -c ready "$STAND_IN/log" 2>/dev/null)" != 2 ] || return 0
    sleep 0.05
  done
  fail "the ranks do not start: $(cat "$work/err")"
}
end_of_launcher() {
  (sleep 15; kill -9 "$launcher") 2>/dev/null &
  local guard=$!
  code=0
  wait "$launcher" || code=$?
  kill "$guard" 2>/dev/null || true
}
code_is() { [ "$code" -eq "$1" ]; }
says() { grep -qF -- "$1" "$work/err"; }
log_has() { [ "$(grep -cF -- "$2" "$STAND_IN/log")" -eq "$1" ]; }
# Of those processes that were ranks here.
no_rank_lives() {
  local pid
  for pid in $(cat "$STAND_IN/pids"); do
    ! grep -qsF stand_in_rank "/proc/$pid/cmdline" || return 1
  done
}
nothing_left() {
  local folder
  no_rank_lives || return 1
  [ -s "$STAND_IN/folders" ] || return 1
  for folder in $(sort -u "$STAND_IN/folders"); do [ ! -e "$folder" ] || return 1; done
  [ -z "$(ls "$TMPDIR")" ]
}

# What needs no mpirun: wrong words, and its absence.
ranks_do exit 0
for words in "-n 0 train x" "-n 4097 train x" "-n x train x" "train x" "-n 2" "-n 2 --hosts a:0 train x" \
             "-n 2 --hosts a,,b train x" "-n 2 --hosts=-a train x" "-n 4 --hosts a:2,b train x" "-n 2 list" "-n 2 --max-restarts 1 eval x" "-n 2 train" "-n 2 train -" \
             "-n 2 train x --simulate-ranks 2" "-n 2 train x --inject"; do
  launch $words
  check "usage: $words" code_is 2
done
launch -n 4 --hosts a:2,b "${train[@]}"
check "more ranks than slots" says '--hosts has slots for 3 ranks, and -n asks for 4'
launch -n 2 train "$source_dir/tests/e2e/long_run.yaml" --resum
check "train's words" code_is 2
check "train's words" says 'did you mean `--resume`?'
launch -n 2 list
check "other commands" says 'several ranks can train, eval or bench'
RSTORCH_MPIRUN=$work/none launch -n 2 "${train[@]}"
check "RSTORCH_MPIRUN is nothing" code_is 2
check "RSTORCH_MPIRUN is nothing" says "error[E0210]: there is no mpirun to start ranks with: RSTORCH_MPIRUN is $work/none"
check "missing mpirun: hint" says 'apt-get install openmpi-bin'
PATH=$work "$rstorch" launch -n 2 "${train[@]}" >"$work/out" 2>"$work/err" || true
check "no mpirun in PATH" says "it is not in PATH"
RSTORCH_MPIRUN=$(type -P true) launch -n 2 "${train[@]}"
check "another program" says "is not Open MPI's"
launch -n 2 train "$work/none.yaml"
check "a config that is not there" code_is 3

if ! mpirun --version 2>/dev/null | grep -qF "Open MPI"; then
  echo "no mpirun of Open MPI here: what needs it is skipped"
  finish
fi

# The command line.
mpirun=$(command -v mpirun)
cores=$(nproc)
fixed="--mca oob_tcp_keepalive_time 2 --mca oob_tcp_keepalive_intvl 1 --mca oob_tcp_keepalive_probes 5"
fixed+=" --mca coll_libnbc_iallreduce_algorithm rabenseifner"
[ "$(id -u)" -ne 0 ] && root="" || root="OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 "
launch --dry-run -n 1 "${train[@]}" "run.name=a b" --smoke
wanted="$root$mpirun -q -n 1 --oversubscribe --bind-to none --stdin none -x OMP_NUM_THREADS=$cores $fixed"
check "dry run" [ "$(cat "$work/out")" = "$wanted $RSTORCH_LAUNCH_PROGRAM ${train[*]} 'run.name=a b' --smoke" ]
launch --dry-run -n $((cores + 1)) "${train[@]}"
check "more ranks than cores" grep -qF -- "OMP_NUM_THREADS=1 --mca mpi_yield_when_idle 1" "$work/out"
launch --dry-run -n 4 --hosts a,b:2,a "${train[@]}"
check "a host without a number, or with two" grep -qF -- "-n 4 --host a:1,b:2,a:1 " "$work/out"
OMP_NUM_THREADS=3 launch --dry-run -n 4 --hosts a:2,b.c:2 "${train[@]}"
check "hosts" grep -qF -- "-n 4 --host a:2,b.c:2 " "$work/out"
check "a user's own thread count" grep -qF -- " -x OMP_NUM_THREADS " "$work/out"
RSTORCH_LAUNCH_PROGRAM= launch --dry-run -n 2 bench x.yaml --steps 3
check "this program" grep -qF -- " $rstorch bench x.yaml --steps 3" "$work/out"
check "a dry run starts nothing" [ ! -e "$STAND_IN/log" ]
launch --dry-run -n 2 "${train[@]}"
ranks_do exit 8
code=0
timeout -k 2 20 bash -c "$(cat "$work/out")" >/dev/null 2>&1 || code=$?
check "its line can be pasted" code_is 8

# Exit codes.
for wanted in 0 3 4 75; do
  ranks_do exit "$wanted"
  launch -n 2 --max-restarts 5 "${train[@]}"
  check "exit code $wanted" code_is "$wanted"
  check "exit code $wanted: no restart" log_has 1 "rank 1: train"
  check "exit code $wanted: the ranks have said why, mpirun nothing" [ ! -s "$work/err" ]
  check "exit code $wanted: nothing left" nothing_left
done
ranks_do exit 12
launch -n 2 "${train[@]}"
check "exit code 12" code_is 7
check "exit code 12" says 'error[E0711]: mpirun ended with exit code 12'
ranks_do kill
launch -n 2 --max-restarts 0 "${train[@]}"
check "a rank is killed" code_is 7
check "a rank is killed" says 'error[E0711]: a rank, or mpirun, was killed by SIGKILL'
check "a rank is killed: one line and its hint" [ "$(wc -l <"$work/err")" -eq 2 ]
check "a rank is killed: nothing left" nothing_left

# Output that is lost is an error, unless nobody wants it: as without launch.
ranks_do say "one line"
code=0
timeout -k 2 20 "$rstorch" launch -n 2 "${train[@]}" >/dev/full 2>"$work/err" </dev/null || code=$?
check "a full stdout" code_is 9
check "a full stdout" says "cannot write to stdout: No space left on device"
ranks_do say "one line"
launch -n 2 "${train[@]}"
check "output" [ "$(cat "$work/out")" = "one line" -a "$code" -eq 0 ]
for both in "2>$work/err" "2>&1"; do
  ranks_do say "one line"
  code=$(bash -c "{ timeout -k 2 20 '$rstorch' launch -n 2 ${train[*]} $both </dev/null; echo \$? >'$work/code'; } | true; cat '$work/code'")
  check "a reader that leaves, $both" code_is 0
done

# Signals.
for signal in TERM INT USR1; do
  ranks_do run
  begin -n 2 "${train[@]}"
  kill "-$signal" "$launcher"
  end_of_launcher
  check "SIG$signal" code_is 75
  check "SIG$signal reaches the ranks" log_has 2 ": SIGUSR1"
  check "SIG$signal is said" says "SIG$signal: the ranks save and end"
  check "SIG$signal: nothing left" nothing_left
done
ranks_do stubborn
begin -n 2 "${train[@]}"
kill -INT "$launcher"
sleep 0.3
kill -INT "$launcher"
end_of_launcher
check "a second SIGINT" code_is 7
check "a second SIGINT" says 'the ranks were killed at a second SIGINT'
check "a second SIGINT: nothing left" nothing_left

# A signal that comes while mpirun starts is not lost. Before that, the program ends as any other.
ranks_do run
for delay in 0.03 0.08; do
  (trap - INT; exec "$rstorch" launch -n 2 "${train[@]}") >"$work/out" 2>"$work/err" </dev/null &
  launcher=$!
  sleep "$delay"
  kill -TERM "$launcher"
  end_of_launcher
  check "SIGTERM after $delay s" [ "$code" -eq 75 -o "$code" -eq 143 ]
done

# mpirun, then the launcher, die by kill -9.
ranks_do stubborn
begin -n 2 "${train[@]}"
kill -9 "$(pgrep -x mpirun -P "$launcher")"
end_of_launcher
check "mpirun is killed" code_is 7
check "mpirun is killed: nothing left" nothing_left
ranks_do stubborn
begin -n 2 "${train[@]}"
mpirun_process=$(pgrep -x mpirun -P "$launcher")
kill -9 "$launcher"
wait "$launcher" 2>/dev/null || true
for _ in $(seq 100); do
  ! no_rank_lives || [ -e "/proc/$mpirun_process" ] || break
  sleep 0.1
done
check "the launcher is killed: no rank lives" no_rank_lives
check "the launcher is killed: nor does mpirun" [ ! -e "/proc/$mpirun_process" ]
cp "$STAND_IN/folders" "$work/folders"
ranks_do exit 0
launch -n 2 "${train[@]}"
cat "$work/folders" >>"$STAND_IN/folders"
check "the next launch sweeps" nothing_left

# Restarts.
ranks_do steps 2
launch -n 2 --max-restarts 5 "${train[@]}"
check "restarts to the end" code_is 0
check "restarts to the end: said" says "restart 1 of 5 goes on from step 1"
check "restarts: --resume is added" log_has 1 "rank 1: ${train[*]} --resume with"
check "restarts: nothing left" nothing_left
ranks_do steps 9
launch -n 2 --max-restarts 1 "${train[@]}" --resume
check "at most K restarts" code_is 7
check "at most K restarts" log_has 2 "rank 1: ${train[*]} --resume with"
check "at most K restarts" says 'error[E0712]: a rank or the network was lost (exit code 7), after 1 restart'
ranks_do kill
launch -n 2 --max-restarts 5 "${train[@]}"
check "a crash loop" code_is 7
check "a crash loop: two starts" log_has 2 "rank 1: train"
check "a crash loop" says 'error[E0713]: no more restarts: twice in a row within 10 s and without a new checkpoint'

# A program of MPI itself: its shared memory goes too.
if command -v mpicc >/dev/null; then
  cat >"$work/rank.c" <<'TEXT'
#include <mpi.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>
int main(int argc, char** argv) {
  int rank = argc;
  MPI_Init(&argc, &argv);
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  if (rank == 0) system("ls $OMPI_MCA_btl_vader_backing_directory | grep -c vader >$STAND_IN/log");
  if (rank == 0) system("echo $OMPI_MCA_btl_vader_backing_directory >$STAND_IN/folders; ls $TMPDIR/*/ >>$STAND_IN/log");
  MPI_Barrier(MPI_COMM_WORLD);
  if (rank == 1) raise(SIGKILL);
  MPI_Barrier(MPI_COMM_WORLD);
}
TEXT
  mpicc "$work/rank.c" -o "$work/rank" 2>/dev/null
  ranks_do
  touch "$STAND_IN/pids"
  RSTORCH_LAUNCH_PROGRAM=$work/rank launch -n 2 "${train[@]}"
  check "MPI ranks: one is killed" code_is 7
  check "MPI ranks: shared memory in its folder" log_has 1 "2"
  check "MPI ranks: session in its folder" log_has 1 "ompi."
  check "MPI ranks: nothing left" nothing_left
fi
finish
