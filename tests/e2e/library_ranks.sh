#!/usr/bin/env bash
# The library's DistributedDataParallel under mpirun: library_ranks.sh RSTORCH TRAIN_IN_F64 EXAMPLE LOSE_A_RANK. In f64, 100 steps give
# the losses and weights of one process within 1e-13, and each time the same bits.
train_in_f64=$(realpath "$2") example=$(realpath "$3") lose_a_rank=$(realpath "$4")
source "$(dirname "$0")/common.sh"
passed=0
ok() { passed=$((passed + 1)); }
export RSTORCH_MPI_MODULE=$(dirname "$rstorch")/src/dist/mpi/rstorch_mpi.so
{ command -v mpirun && [ -e "$RSTORCH_MPI_MODULE" ]; } >/dev/null || { echo "skipped: there is no mpirun, or the build has no MPI"; echo "0 passed, 0 failed"; exit 0; }
export OMP_NUM_THREADS=1 OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1

# on RANKS COMMAND..., ends_on CODE RANKS COMMAND...
on() { ends_on 0 "$@"; }
ends_on() {
  local code=$1 ranks=$2
  shift 2
  expect_exit "$code" timeout -k 5 120 mpirun --oversubscribe --bind-to none --mca mpi_yield_when_idle 1 -n "$ranks" "$@"
}

for model in mlp cnn norm; do
  for parts in 1 2; do
    expect_exit 0 "$train_in_f64" "$model" "$parts" "$work/1"
    [ "$(wc -l <"$work/1")" -gt 500 ] || fail "too few numbers: $(wc -l <"$work/1")"
    for ranks in 2 4; do
      on "$ranks" "$train_in_f64" "$model" "$parts" "$work/$ranks"
      # Relative to the largest: gradients of a parameter may cancel to nothing.
      paste "$work/1" "$work/$ranks" | awk '
        {d = $1 - $2; if (d < 0) d = -d; a = $1 < 0 ? -$1 : $1; if (d > most) most = d; if (a > largest) largest = a}
        END {print "'"$model, $parts part(s), $ranks ranks: numbers differ by "'" most / largest; exit !(most <= 1e-13 * largest)}' ||
        fail "$model differs"
      on "$ranks" "$train_in_f64" "$model" "$parts" "$work/again"
      cmp "$work/$ranks" "$work/again" || fail "$model, $ranks ranks: other bits the second time"
      ok
    done
  done
done

cd "$source_dir"
on 2 "$example"
expect_text "$work/out" "epoch 4: loss"
ok

# A rank is lost, and the program catches nothing: one message, not MPI's, and no abort.
for how in stop differ; do
  ends_on 7 3 "$lose_a_rank" "$how"
  [ "$how" = stop ] && lost="rank 1 (process " || lost="the ranks do not do the same: as collective #"
  expect_text "$work/err" "error[E0702]: $lost"
  [ "$(grep -c 'error\[' "$work/err")" -eq 1 ] || fail "said more than once: $(cat "$work/err")"
  ! grep -qE "terminate called|Signal: " "$work/err" || fail "aborted: $(cat "$work/err")"
  ok
done
echo "$passed passed, 0 failed"
