#!/usr/bin/env bash
# Each bundled config runs in smoke size; those on bundled data also do what they expect of themselves.
#   configs.sh RSTORCH
source "$(dirname "$0")/common.sh"

for config in configs/*.yaml; do
  name=$(basename "$config" .yaml)
  case $name in
    mnist_*)
      if [ ! -d "${RSTORCH_DATA:-datasets}/mnist" ]; then
        echo "skipped: $config needs RSTORCH_DATA with mnist"
        continue
      fi
      ;;
  esac
  expect_exit 0 "$rstorch" train "$config" --smoke "run.dir=$work/runs"
  [ -e "$work/runs/$name-smoke/checkpoints/last/manifest.json" ] || fail "$config left no checkpoint"
  case $name in
    digits_* | iris_*) expect_exit 0 "$rstorch" train "$config" "run.dir=$work/runs" ;;
  esac
  echo "ok: $config"
done

# Those of measurements are too large to train here, but they say what they should.
for config in tests/bench/configs/*.yaml; do
  expect_exit 0 "$rstorch" plan "$config"
done
