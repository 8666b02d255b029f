#!/usr/bin/env bash
# Every documented exit code, and one line on stderr that says what is wrong.
source "$(dirname "$0")/common.sh"
config="$source_dir/tests/e2e/long_run.yaml"
short=("run.dir=$work/runs" trainer.max_steps=3 "lr_scheduler.warmup=1 steps")

expect_exit 0 "$rstorch" train "$config" "${short[@]}"
expect_text "$work/out" "checkpoints/last"

expect_exit 2 "$rstorch"
expect_exit 2 "$rstorch" trian "$config"
expect_text "$work/err" 'error[E0201]: there is no command `trian`'
expect_text "$work/err" 'did you mean `train`?'
expect_exit 2 "$rstorch" train "$config" --resum
expect_text "$work/err" 'did you mean `--resume`?'
expect_exit 2 "$rstorch" train
expect_exit 2 "$rstorch" config shwo
expect_text "$work/err" 'did you mean `show`?'
expect_exit 2 "$rstorch" list optimisers
expect_text "$work/err" 'did you mean `optimizers`?'

for count in bad 0 -1 2,x 100000; do
  expect_exit 2 env OMP_NUM_THREADS=$count "$rstorch" list
  expect_text "$work/err" "OMP_NUM_THREADS is \`$count\`"
done
expect_exit 2 "$rstorch" bench "$config" --steps 99999999999999999999

expect_exit 3 "$rstorch" train "$config" optimizer.lrr=1
expect_text "$work/err" 'error[E0302]'
expect_exit 3 "$rstorch" train "$work/none.yaml"
expect_exit 3 "$rstorch" train "$config" device=cuda "run.dir=$work/no_gpu" RST_UNKNOWN=1
if ! "$rstorch" doctor | grep -q '^cuda .*NVIDIA'; then
  expect_exit 3 "$rstorch" train "$config" device=cuda "run.dir=$work/no_gpu"
  expect_text "$work/err" 'error[E0319]: device cuda is not available'
  [ ! -e "$work/no_gpu" ] || fail "an error of the config left a run folder"
  expect_exit 3 "$rstorch" train "$config" device=cuda:0 --dry-run
  expect_text "$work/err" 'error[E0319]: device cuda:0 is not available'
fi
expect_exit 3 "$rstorch" train "$config" distributed.backend=nccl device=cpu --simulate-ranks 2 "run.dir=$work/no_nccl"
expect_text "$work/err" 'rank 0 works on the CPU'
[ ! -e "$work/no_nccl" ] || fail "a backend that cannot be left a run folder"
expect_exit 0 "$rstorch" train "$config" distributed.backend=nccl --dry-run
expect_text "$work/err" 'distributed.backend: nccl` has nothing to do: there is one rank'

for name in "$(printf 'a%.0s' {1..250})" ../up -x; do
  expect_exit 3 "$rstorch" train "$config" "run.dir=$work/runs" "run.name=$name"
  expect_text "$work/err" 'error[E0304]'
done

# Where no run can be.
touch "$work/file"
for dir in "$work/file" "$work/file/below" /proc/none "$work/$(printf 'a%.0s' {1..256})"; do
  expect_exit 3 "$rstorch" train "$config" "run.dir=$dir"
  expect_text "$work/err" 'error[E0319]: run.dir: cannot '
done

mkfifo "$work/pipe"
expect_exit 4 timeout 10 "$rstorch" train configs/iris_mlp.yaml data.path="$work/pipe" "run.dir=$work/no_data"
expect_text "$work/err" "not a regular file"
expect_exit 4 "$rstorch" train configs/digits_mlp.yaml data.path="$work/none" "run.dir=$work/no_data"
expect_text "$work/err" "$work/none"
[ ! -e "$work/no_data" ] || fail "missing data left a run folder"

expect_exit 6 "$rstorch" train "$config" "run.dir=$work/runs" optimizer.lr=1e30 trainer.max_steps=50
expect_text "$work/err" 'not finite'

# Ranks that are threads end as those that are processes do.
threads=("$rstorch" train "$config" "run.dir=$work/runs" --simulate-ranks 3 distributed.timeout=2s)
for rank in 0 1; do
  begin=$SECONDS
  expect_exit 7 timeout -k 5 30 "${threads[@]}" --inject "hang:rank=$rank@step=5"
  expect_text "$work/err" "error[E0702]: rank $rank (process "
  expect_text "$work/err" "hangs at step 5"
  expect_text "$work/err" "in collective #"
  [ $((SECONDS - begin)) -le 6 ] || fail "a hanging rank was found after $((SECONDS - begin)) s, with a time-out of 2 s"
  expect_exit 4 "${threads[@]}" --inject "error:rank=$rank@step=5"
  expect_text "$work/err" "rank $rank: error[E0404]: sample 0 cannot be read"
  [ "$(grep -c 'error\[' "$work/err")" -eq 1 ] || fail "said more than once: $(cat "$work/err")"
done

expect_exit 8 "$rstorch" train "$config" "${short[@]}" 'expect.val.accuracy=> 1'
expect_text "$work/err" 'val.accuracy is'

checkpoint=$(realpath "$work/runs/run/checkpoints/last")
printf X | dd of="$checkpoint/model.safetensors" bs=1 seek=2000 conv=notrunc status=none
expect_exit 9 "$rstorch" eval "$checkpoint"
expect_text "$work/err" "$checkpoint/model.safetensors is damaged: its hash is"
expect_exit 9 "$rstorch" inspect "$work/none"

# Output that is lost is an error, unless nobody wants it.
for command in list --help "config explain"; do
  code=0
  "$rstorch" $command >/dev/full 2>"$work/err" || code=$?
  [ "$code" -eq 9 ] || fail "exit code $code, not 9: rstorch $command >/dev/full"
  expect_text "$work/err" "cannot write to stdout: No space left on device"
done
(set +o pipefail; trap '' PIPE; "$rstorch" config schema 2>"$work/err" | true)
[ ! -s "$work/err" ] || fail "a closed pipe is called an error: $(cat "$work/err")"

expect_exit 75 "$rstorch" train "$config" "run.dir=$work/runs" trainer.max_time=1ms
# A log that cannot be written costs its lines, no more; and is said once, in the program's own words.
ln -sf /dev/full "$(dirname "$(ls -d "$work"/runs/run-*/checkpoints | sort -V | tail -1)")/train.log"
expect_exit 75 "$rstorch" train "$config" "run.dir=$work/runs" trainer.max_time=1ms --resume
expect_text "$work/err" "the run goes on, lines of its log are lost"
! grep -F "LOG ERROR" "$work/err" || fail "a raw line of the logging library"

# The line it says can be pasted, whatever needs quotes in it.
for _ in 1 2; do
  expect_exit 75 "$rstorch" train "$config" "run.dir=$work/a b" 'trainer.max_steps=400' trainer.max_time=1ms --resume
  command=$(sed -n 's/^stopped by trainer.max_time (0.001s) after step [0-9]*, saved; continue with: //p' "$work/err")
done
expect_exit 0 bash -c "$command trainer.max_time=1h"
expect_text "$work/out" "400 steps"
expect_exit 0 bash -c "$command"
expect_text "$work/out" "is finished, at step 400"
expect_exit 0 bash -c "$(sed -n 's/^To train on: //p' "$work/out") trainer.max_time=1h"
expect_text "$work/out" "800 steps"
[ "$(ls "$work/a b")" = run ] || fail "another run was made: $(ls "$work/a b")"
