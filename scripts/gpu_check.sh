#!/usr/bin/env bash
# Everything that needs a GPU, in one command of less than nine minutes. Safe to run again.
#
#   scripts/gpu_check.sh                    # builds into build-gpu first
#   scripts/gpu_check.sh BUILD_FOLDER       # what is built there
#   scripts/gpu_check.sh rstorch.tar.gz     # a bundle of `scripts/bundle.sh --tests`, where our packages are not installed
#
# A check that fails does not stop the others. Writes tests/bench/results/DATE-gpu-NAME.json, and a table of it in .md; logs
# of what failed are printed. The last line is "N passed, N failed". RSTORCH_DATA names the folder that has mnist/. With
# RSTORCH_CUDA_MODULE=.../rstorch_fake_cuda.so it tests itself without a GPU: trainings are then cut to smoke size, and
# nothing is measured.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
started=$SECONDS
time_limit=${RSTORCH_GPU_CHECK_SECONDS:-530}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# --- what is checked ---

if [ $# -eq 0 ]; then
  capability=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null | head -1 | tr -d .)
  [ -f build-gpu/build.ninja ] || meson setup build-gpu -Dgpu=enabled "-Dgpu_arch=sm_${capability:-90}" || exit 1
  ninja -C build-gpu || exit 1
  set -- build-gpu
fi
started=$SECONDS
where=$(realpath "$1") || exit 1
if [ -f "$where" ]; then
  mkdir "$work/bundle"
  tar -xzf "$where" -C "$work/bundle" --strip-components 1 || exit 1
  where=$work/bundle
fi
if [ -d "$where/bin" ]; then
  programs=$where/bin tests=$where/bin
else
  programs=$where tests=$where/tests/cuda
  ops_test=$where/tests/ops/ops_test
fi
rstorch=$programs/rstorch ops_test=${ops_test:-$tests/ops_test}

device=$("$rstorch" doctor | sed -nE 's/^cuda +//p')
fake='' smoke='' small=configs/digits_cnn.yaml
case $device in
  *"Fake GPU"*) fake=yes smoke=--smoke small=configs/digits_mlp.yaml ;;
  "" | "not available"*) echo "gpu_check: no GPU: ${device:-$rstorch does not start}" >&2; exit 1 ;;
esac
commit=$(git rev-parse --short HEAD 2>/dev/null || cut -c 1-7 "$where/COMMIT" 2>/dev/null)
driver=$(nvidia-smi --query-gpu=driver_version --format=csv,noheader 2>/dev/null | head -1)
name=$(nvidia-smi --query-gpu=name --format=csv,noheader 2>/dev/null | head -1)
name=${name:-fake}
echo "device: $device; driver: ${driver:-none}; commit: $commit"

# --- how ---

names=() states=() seconds=()
passed=0 failed=0

record() { # NAME STATE SECONDS
  names+=("$1") states+=("$2") seconds+=("$3")
  case $2 in pass) passed=$((passed + 1)) ;; fail | late) failed=$((failed + 1)) ;; esac
  printf '%-5s %5ss  %s\n' "$2" "$3" "$1"
}

# check NAME SECONDS COMMAND...: exit code 77 means that there is nothing to check here.
check() {
  local title=$1 limit=$2 left=$((time_limit - (SECONDS - started))) begin=$SECONDS code=0
  shift 2
  if [ "$left" -lt 5 ]; then
    record "$title" late 0
    return
  fi
  [ "$limit" -le "$left" ] || limit=$left
  timeout -k 5 "$limit" bash -c '"$@"' check "$@" >"$work/log" 2>&1 </dev/null || code=$?
  case $code in
    0) record "$title" pass $((SECONDS - begin)) ;;
    77) record "$title" skip $((SECONDS - begin)) ;;
    *)
      record "$title" fail $((SECONDS - begin))
      tail -25 "$work/log" | sed 's/^/      | /'
      ;;
  esac
}

# doctest PROGRAM FILTER: of these cases there must be one.
doctest() {
  "$1" "-tc=$2" | tee "$work/doctest.log"
  [ "${PIPESTATUS[0]}" -eq 0 ] && grep -qE 'test cases: +[1-9]' "$work/doctest.log"
}

# train FOLDER CONFIG [WORDS]: on the GPU; what the config expects of itself is checked but in smoke size.
train() {
  local folder=$1 config=$2
  shift 2
  "$rstorch" train "$config" device=cuda "run.dir=$work/$folder" $smoke "$@"
}

# knows KEY=VALUE: whether this build has the key.
knows() { "$rstorch" config show configs/digits_mlp.yaml "$1" >/dev/null 2>&1; }

weights_of() { echo "$work/$1"/*/checkpoints/last/model.safetensors; }

same_bits() { # FOLDER FOLDER
  cmp "$(weights_of "$1")" "$(weights_of "$2")"
}

train_in() { # PRECISION CONFIG [WORDS]
  local precision=$1
  shift
  local words=()
  if [ "$precision" != fp32 ]; then
    knows "trainer.precision=$precision" || return 77
    words=("trainer.precision=$precision")
  fi
  train "$precision-$RANDOM" "$@" "${words[@]}"
}

mnist() {
  [ -d "${RSTORCH_DATA:-datasets}/mnist" ] || { echo "no mnist: set RSTORCH_DATA"; return 77; }
  train_in "$@"
}

twice_same() {
  train first "$small" trainer.max_epochs=2 '~expect' && train second "$small" trainer.max_epochs=2 '~expect' &&
    same_bits first second
}

graph_same() { # PRECISION
  knows trainer.graph=on || return 77
  local precision=()
  [ "$1" = fp32 ] || { knows "trainer.precision=$1" || return 77; precision=("trainer.precision=$1"); }
  for graph in on off; do
    train "graph-$1-$graph" "$small" trainer.max_epochs=2 '~expect' "trainer.graph=$graph" "${precision[@]}" || return 1
  done
  same_bits "graph-$1-on" "graph-$1-off"
}

resumes_same() { # PRECISION
  local words=("$small" lr_scheduler=constant '~expect' "trainer.precision=$1")
  train "whole-$1" "${words[@]}" trainer.max_steps=60 &&
    train "parts-$1" "${words[@]}" trainer.max_steps=5 &&
    train "parts-$1" "${words[@]}" trainer.max_steps=60 --resume &&
    same_bits "whole-$1" "parts-$1"
}

# Two ranks that share the GPU exchange over MPI; they train as one does, to rounding.
ranks_same() {
  local words=(train "$small" device=cuda trainer.max_epochs=2 '~expect' $smoke) loss=()
  "$rstorch" "${words[@]}" "run.dir=$work/alone" && "$rstorch" launch -n 2 "${words[@]}" "run.dir=$work/ranks" || return 1
  for folder in alone ranks; do
    loss+=("$(sed -nE 's/.*"train.loss": ([0-9.e+-]+).*/\1/p' "$work/$folder"/*/metrics.jsonl | tail -1)")
  done
  echo "train.loss: ${loss[*]}"
  awk -v a="${loss[0]}" -v b="${loss[1]}" 'BEGIN {d = a - b; exit !(a != "" && b != "" && d * d <= 1e-6 * a * a)}'
}

sanitized() { # TOOL PROGRAM WORDS
  [ -z "$fake" ] && command -v compute-sanitizer >/dev/null || return 77
  local tool=$1
  shift
  compute-sanitizer --tool "$tool" --error-exitcode 1 --launch-timeout 0 "$@"
}

# bench TITLE WORKLOAD [WORDS]: rstorch's side of the table.
bench() {
  local title=$1 workload=$2
  shift 2
  "$rstorch" bench "tests/bench/configs/$workload.yaml" device=cuda --json "$@" >"$work/bench-$title.json"
}

# PyTorch on the same model, eager or compiled.
peer() { # TITLE WORKLOAD SETTING PRECISION
  python3 scripts/bench_vs_pytorch.py --measure "$2" --device cuda --setting "$3" --precision "$4" >"$work/bench-$1.json"
}

export RSTORCH_SOURCE_DIR=$PWD rstorch work fake smoke small
export -f doctest train knows weights_of same_bits train_in mnist twice_same graph_same resumes_same ranks_same sanitized bench peer

# --- the checks ---

check "ops: CUDA gives what the CPU gives, forward and gradients" 120 doctest "$ops_test" 'CUDA gives*'
check "ops: gradients on CUDA equal finite differences" 60 doctest "$ops_test" 'gradients on CUDA*'
for program in "$tests"/cuda_*_test; do
  [ -x "$program" ] && check "$(basename "$program")" 120 "$program"
done

check "train digits, fp32" 60 train_in fp32 "$small"
for precision in tf32 bf16 fp16; do
  check "train digits, $precision" 60 train_in $precision "$small"
done
check "train mnist_mlp, fp32" 60 mnist fp32 configs/mnist_mlp.yaml
check "train mnist_mlp, bf16" 60 mnist bf16 configs/mnist_mlp.yaml
check "train mnist_cnn, fp32" 90 mnist fp32 configs/mnist_cnn.yaml
check "train mnist_cnn, bf16" 90 mnist bf16 configs/mnist_cnn.yaml
if [ -z "$fake" ]; then
  check "train resnet18 on made-up images, fp32" 60 train_in fp32 tests/bench/configs/resnet18.yaml
  check "train resnet18 on made-up images, bf16" 60 train_in bf16 tests/bench/configs/resnet18.yaml
fi

check "two runs give the same bits" 60 twice_same
check "a resumed run gives the bits of a whole one, fp32" 60 resumes_same fp32
check "a resumed run gives the bits of a whole one, fp16" 60 resumes_same fp16
check "graph on and off give the same bits, fp32" 60 graph_same fp32
check "graph on and off give the same bits, bf16" 60 graph_same bf16
check "graph on and off give the same bits, fp16" 60 graph_same fp16
check "two ranks on this GPU, through the CPU, as one rank" 60 ranks_same

workloads=() has_torch=
if [ -z "$fake" ]; then
  workloads=(mlp_b64 mlp_b1024 lenet resnet18)
  ! python3 -c 'import torch; assert torch.cuda.is_available()' 2>/dev/null || has_torch=yes
fi
for workload in "${workloads[@]}"; do
  for precision in fp32 bf16; do
    words=()
    [ $precision = fp32 ] || { knows trainer.precision=bf16 || continue; words=(trainer.precision=bf16); }
    check "bench $workload $precision" 30 bench "$workload-$precision-rstorch" "$workload" "${words[@]}"
    [ -n "$has_torch" ] || continue
    check "PyTorch eager, $workload $precision" 30 peer "$workload-$precision-eager" "$workload" default $precision
    check "PyTorch compiled, $workload $precision" 75 peer "$workload-$precision-compile" "$workload" compile $precision
  done
done

check "compute-sanitizer memcheck, ops" 90 sanitized memcheck "$ops_test" '-tc=CUDA gives*'
check "compute-sanitizer memcheck, attention" 45 sanitized memcheck "$tests/cuda_kernels_test" '-tc=*attention*'
check "compute-sanitizer racecheck, attention" 45 sanitized racecheck "$tests/cuda_kernels_test" '-tc=*attention*'
check "compute-sanitizer racecheck, norms" 45 sanitized racecheck "$tests/cuda_training_test" '-tc=layer normalisation*'

# --- the report ---

text() { printf '"%s"' "$(printf '%s' "$1" | sed 's/\\/\\\\/g; s/"/\\"/g')"; }

stem=${RSTORCH_GPU_CHECK_OUT:-tests/bench/results}/$(date -u +%F)-gpu-$(echo "$name" | tr -c 'A-Za-z0-9\n' '-' | tr '[:upper:]' '[:lower:]')
mkdir -p "$(dirname "$stem")"
{
  printf '{\n  "date": %s,\n  "device": %s,\n  "driver": %s,\n  "commit": %s,\n  "passed": %d,\n  "failed": %d,\n  "seconds": %d,\n  "checks": [' \
    "$(text "$(date -u +%FT%TZ)")" "$(text "$device")" "$(text "$driver")" "$(text "$commit")" $passed $failed $((SECONDS - started))
  for i in "${!names[@]}"; do
    [ "$i" = 0 ] || printf ','
    printf '\n    {"name": %s, "result": "%s", "seconds": %d}' "$(text "${names[$i]}")" "${states[$i]}" "${seconds[$i]}"
  done
  printf '\n  ],\n  "bench": {'
  comma=
  for file in "$work"/bench-*.json; do
    [ -s "$file" ] || continue
    title=$(basename "$file" .json)
    printf '%s\n    %s: ' "$comma" "$(text "${title#bench-}")"
    cat "$file"
    comma=,
  done
  printf '\n  }\n}\n'
} >"$stem.json"

# The first number behind `"key":` in a file.
number() { sed -nE "s/.*\"$1\": *([0-9.e+-]+).*/\1/p" "$2" 2>/dev/null | head -1; }
{
  printf '# On a GPU: %s\n\n%s, driver %s, commit %s. %d passed, %d failed.\n\n| check | result | s |\n|---|---|---|\n' \
    "$name" "$(date -u +%F)" "$driver" "$commit" $passed $failed
  for i in "${!names[@]}"; do printf '| %s | %s | %s |\n' "${names[$i]}" "${states[$i]}" "${seconds[$i]}"; done
  printf '\n| step | rstorch ms | PyTorch eager ms | torch.compile ms |\n|---|---|---|---|\n'
  for file in "$work"/bench-*-rstorch.json; do
    [ -s "$file" ] || continue
    base=${file%-rstorch.json}
    printf '| %s | %s | %s | %s |\n' "$(basename "$base" | cut -c 7-)" "$(number median "$file")" \
      "$(number median "$base-eager.json")" "$(number median "$base-compile.json")"
  done
} >"$stem.md"

echo "wrote $stem.json and .md"
echo "$passed passed, $failed failed"
[ $failed -eq 0 ] && [ $passed -gt 0 ]
