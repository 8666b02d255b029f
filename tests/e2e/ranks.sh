#!/usr/bin/env bash
# Training under mpirun: the losses and weights of one process, the same bits each time, stopped and continued together.
compare_weights=$(realpath "$2")
source "$(dirname "$0")/common.sh"
passed=0
ok() { passed=$((passed + 1)); }
{ command -v mpirun && [ -e "$(dirname "$rstorch")/src/dist/mpi/rstorch_mpi.so" ]; } >/dev/null || { echo "skipped: there is no mpirun, or the build has no MPI"; echo "0 passed, 0 failed"; exit 0; }
unset OMP_NUM_THREADS  # as the launcher sets it

# Numbers of metrics.jsonl, one on a line: NAME VALUE.
numbers_of() { grep -oE '"(train\.loss|val\.[a-z]+)": [0-9.e+-]+' "$1/metrics.jsonl"; }
same_numbers() {
  paste <(numbers_of "$1") <(numbers_of "$2") | awk -v limit="$3" '
    {d = $2 - $4; if (d < 0) d = -d; if (d > limit * ($2 < 0 ? -$2 : $2)) {print "differs: " $0; bad = 1}; n++}
    END {exit bad || n < 4}' || fail "metrics differ: $1, $2"
}

frame='
rstorch: 1
seed: 7
run: {name: run}
data:
  batch_size: 16
  train: {type: random, shape: [3, 8, 8], classes: 3, size: 70}
  val: {type: random, shape: [3, 8, 8], classes: 3, size: 23, seed: 1}
loss: {CrossEntropyLoss: {label_smoothing: 0.1}}  # without it the loss goes to 0, and nothing is relative to that
optimizer: {type: SGD, lr: 0.05, momentum: 0.9}
trainer: {max_steps: 100, log_every: 5 steps}
'
cat >"$work/mlp.yaml" <<<"$frame
model: {input: {shape: [3, 8, 8]}, layers: [Flatten, {Linear: {out_features: 32}}, Tanh, {Linear: {out_features: 3}}]}"
cat >"$work/cnn.yaml" <<<"$frame
model: {input: {shape: [3, 8, 8]}, layers: [{Conv2d: {out_channels: 8, kernel_size: 3}}, BatchNorm2d, ReLU, {AdaptiveAvgPool2d: {output_size: 2}}, Flatten, {Linear: {out_features: 3}}]}"
cat >"$work/norm.yaml" <<<"$frame
model: {input: {shape: [3, 8, 8]}, layers: [Flatten, {Linear: {out_features: 32}}, LayerNorm, GELU, {Dropout: {p: 0.3}}, {Linear: {out_features: 3}}]}"

for model in mlp cnn norm; do
  for parts in 1 2; do
    # Batch normalisation sees one part of a batch at a time: so the one process has the parts of all ranks together.
    expect_exit 0 timeout -k 5 120 "$rstorch" train "$work/$model.yaml" "run.dir=$work/$model-1-$parts" \
      "trainer.micro_batch_size=$((16 / parts))"
    for ranks in 2 4; do
      dir=$work/$model-$ranks-$parts
      command=(timeout -k 5 120 "$rstorch" launch -n "$ranks" train "$work/$model.yaml" "trainer.micro_batch_size=$((16 / parts / ranks))")
      expect_exit 0 "${command[@]}" "run.dir=$dir"
      same_numbers "$work/$model-1-$parts/run" "$dir/run" 1e-6
      expect_exit 0 "$compare_weights" "$work/$model-1-$parts/run/checkpoints/last" "$dir/run/checkpoints/last" 1e-6
      echo "$model, $parts part(s), $ranks ranks: weights differ by $(cat "$work/out")"
      expect_exit 0 "${command[@]}" "run.dir=$dir-again"
      same_end "$dir/run" "$dir-again/run"
      ok
    done
  done
done

# Optimizer state shared out over ranks: the same bits, and they need not stay with it.
zero() {
  expect_exit 0 timeout -k 5 120 "$rstorch" launch -n "$1" train "$work/norm.yaml" "optimizer={type: AdamW, lr: 1e-3}" "run.dir=$work/zero-$2" "${@:3}"
}
for ranks in 2 3; do
  zero "$ranks" "without-$ranks"
  zero "$ranks" "$ranks" distributed.zero=1
  same_end "$work/zero-without-$ranks/run" "$work/zero-$ranks/run"
  ok
done
zero 2 resumed distributed.zero=1 trainer.max_steps=50
zero 2 resumed --resume
same_end "$work/zero-without-2/run" "$work/zero-resumed/run"
ok

# Evaluated together: the number of one process.
expect_exit 0 timeout -k 5 60 "$rstorch" eval "$work/cnn-2-1/run"
cp "$work/out" "$work/one"
expect_exit 0 timeout -k 5 60 "$rstorch" launch -n 3 eval "$work/cnn-2-1/run"
diff "$work/one" "$work/out" || fail "3 ranks evaluate to something else than one"
ok

# One rank has no MPI in it.
expect_exit 0 env OMPI_COMM_WORLD_RANK=0 OMPI_COMM_WORLD_SIZE=1 "$rstorch" train "$work/mlp.yaml" "run.dir=$work/alone"
! grep -q "ranks:" "$work/err" || fail "one rank opened MPI"
ok

# Stopped by a signal to the launcher, wherever it is, and continued: the same bits.
config=$source_dir/tests/e2e/long_run.yaml
expect_exit 0 timeout -k 5 120 "$rstorch" launch -n 2 train "$config" "run.dir=$work/whole"
for signal in TERM USR1; do
  stopped=0
  for _ in 1 2 3 4 5 6; do
    timeout -k 5 120 "$rstorch" launch -n 2 train "$config" "run.dir=$work/$signal" --resume >/dev/null 2>"$work/err" &
    process=$!
    sleep "0.$((RANDOM % 5 + 4))"
    pkill "-$signal" -P "$process" -f "$rstorch launch" 2>/dev/null || true
    code=0
    wait "$process" || code=$?
    [ "$code" -eq 0 ] || [ "$code" -eq 75 ] || fail "SIG$signal: exit code $code: $(cat "$work/err")"
    [ "$code" -eq 75 ] || break
    expect_text "$work/err" "stopped by SIG$signal "
    stopped=$((stopped + 1))
  done
  expect_exit 0 timeout -k 5 120 "$rstorch" launch -n 2 train "$config" "run.dir=$work/$signal" --resume
  [ "$stopped" -gt 0 ] || fail "SIG$signal never came in time"
  same_end "$work/whole/run" "$work/$signal/run"
  ok
done

# Under a plain mpirun it is SIGUSR1 that saves with exit code 75. At a SIGTERM mpirun gives ranks a second and ends with 1.
with_mpirun=(mpirun --allow-run-as-root --oversubscribe --bind-to none -n 2)
for signal in USR1 TERM; do
  [ "$signal" = USR1 ] && wanted=75 || wanted=1
  "${with_mpirun[@]}" "$rstorch" train "$config" "run.dir=$work/mpirun-$signal" trainer.max_steps=1000000 >/dev/null 2>"$work/err" &
  process=$!
  until [ -e "$work/mpirun-$signal/run/checkpoints/last" ]; do sleep 0.1; done
  kill "-$signal" "$process"
  code=0
  wait "$process" || code=$?
  [ "$code" -eq "$wanted" ] || fail "SIG$signal to mpirun: exit code $code, not $wanted: $(cat "$work/err")"
  expect_text "$work/err" "stopped by SIG$signal after step"
  ok
done

# Before ranks know each other each fails for itself: that is said once.
expect_exit 2 timeout -k 5 60 "${with_mpirun[@]}" -q "$rstorch" plan "$config"
expect_text "$work/err" "error[E0201]: plan is for one process, and this is rank 0 of 2 (mpirun)"
[ "$(grep -c 'error\[' "$work/err")" -eq 1 ] || fail "said more than once: $(cat "$work/err")"
expect_exit 2 timeout -k 5 60 env RSTORCH_MPI_MODULE=none "${with_mpirun[@]}" -q "$rstorch" train "$config" "run.dir=$work/none"
expect_text "$work/err" "OMPI_COMM_WORLD_RANK and OMPI_COMM_WORLD_SIZE say that this process is rank 0 of 2, but"
[ "$(grep -c 'error\[' "$work/err")" -eq 1 ] || fail "said more than once: $(cat "$work/err")"
ok
echo "$passed passed, 0 failed"
