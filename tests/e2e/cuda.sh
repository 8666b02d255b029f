#!/usr/bin/env bash
# The same config on a CUDA device and on the CPU tells the same story, and a run goes on from one to the other:
# cuda.sh RSTORCH MODULE, the module being the one whose CUDA is the CPU.
RSTORCH_CUDA_MODULE=$(realpath "$2")
export RSTORCH_CUDA_MODULE
source "$(dirname "$0")/common.sh"
passed=0

# train DEVICE FOLDER [WORDS]
train() {
  local device=$1 folder=$2
  shift 2
  expect_exit 0 "$rstorch" train configs/iris_mlp.yaml "device=$device" "run.dir=$work/$folder" '~expect' "$@"
}
# The last value of a metric.
last() { sed -nE "s/.*\"$2\": ([0-9.e+-]+).*/\1/p" "$work/$1/iris_mlp/metrics.jsonl" | tail -1; }
# close A B [TOLERANCE]: of float32, whose sums are added in another order, unless said otherwise.
close() { awk -v a="$1" -v b="$2" -v by="${3:-1e-4}" 'BEGIN {d = a - b; exit !(d * d <= by * by * (1 + a * a))}'; }

train cpu cpu trainer.max_epochs=4
train cuda cuda trainer.max_epochs=2
train cuda again trainer.max_epochs=2
same_end "$work/cuda/iris_mlp" "$work/again/iris_mlp"
passed=$((passed + 1))

train cuda cuda trainer.max_epochs=4 --resume
for metric in train.loss val.loss val.accuracy; do
  [ -n "$(last cpu $metric)" ] || fail "no $metric"
  close "$(last cpu $metric)" "$(last cuda $metric)" || fail "$metric: $(last cpu $metric) on the CPU, $(last cuda $metric) on CUDA"
  passed=$((passed + 1))
done

train cpu again trainer.max_epochs=4 --resume
close "$(last cpu val.loss)" "$(last again val.loss)" || fail "val.loss: $(last cpu val.loss), $(last again val.loss) begun on CUDA"
expect_exit 0 "$rstorch" eval "$work/cuda/iris_mlp" device=cpu
passed=$((passed + 2))

# Mixed precision: near to fp32, with parameters in f32, and the same bits after a pause, the loss scale included.
for precision in tf32 bf16 fp16; do
  train cuda "$precision" trainer.max_epochs=4 "trainer.precision=$precision"
  train cuda "$precision-paused" trainer.max_epochs=2 "trainer.precision=$precision"
  train cuda "$precision-paused" trainer.max_epochs=4 "trainer.precision=$precision" --resume
  same_end "$work/$precision/iris_mlp" "$work/$precision-paused/iris_mlp"
  close "$(last cpu val.loss)" "$(last $precision val.loss)" 0.02 ||
    fail "$precision: val.loss $(last $precision val.loss), $(last cpu val.loss) in fp32"
  expect_exit 0 "$rstorch" inspect "$work/$precision/iris_mlp"
  expect_text "$work/out" "0.weight  f32"
  expect_exit 0 "$rstorch" eval "$work/$precision/iris_mlp"
  passed=$((passed + 3))
done
grep -q "grad_scaler/scale" "$work/fp16/iris_mlp/checkpoints/last/trainer.safetensors" || fail "no loss scale"
train cpu on_cpu trainer.max_epochs=4 trainer.precision=bf16
expect_text "$work/err" "precision: fp32 (CPUs compute bf16 as fp32)"
same_end "$work/cpu/iris_mlp" "$work/on_cpu/iris_mlp"
passed=$((passed + 2))
echo "$passed passed, 0 failed"
