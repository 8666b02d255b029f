#!/usr/bin/env bash
# A disk that fails at some operation of a run: the program says so with exit code 9 or goes on, and a continued run ends
# with the same bits. What a fault at each single operation of a save does is tested in checkpoint_test.cpp.
#   disk_faults.sh RSTORCH FAULT_LIBRARY
library=$(realpath -e "$2")
source "$(dirname "$0")/common.sh"
config="$source_dir/tests/e2e/long_run.yaml"
overrides=(trainer.max_steps=60)

expect_exit 0 "$rstorch" train "$config" "${overrides[@]}" "run.dir=$work/whole"
for kind in no_space io_error short kill; do
  ended=0
  for at in 5 20 40 97 153 180 211 240; do  # of about 260 operations
    dir=$work/$kind$at
    code=0
    LD_PRELOAD=$library RST_FAULT="$kind $at" "$rstorch" train "$config" "${overrides[@]}" "run.dir=$dir" \
      >/dev/null 2>"$work/err" || code=$?
    case $code in
      0) ;;
      9) expect_text "$work/err" "error[E09" ;;
      137) [ "$kind" = kill ] || fail "killed by $kind" ;;
      *) fail "exit code $code for $kind at $at: $(cat "$work/err")" ;;
    esac
    [ "$code" -eq 0 ] || ended=$((ended + 1))
    expect_exit 0 "$rstorch" train "$config" "${overrides[@]}" "run.dir=$dir" --resume
    same_end "$work/whole/run" "$dir/run"
    rm -rf "$dir"
  done
  [ "$ended" -gt 0 ] || fail "no fault of kind $kind struck"
  echo "$kind: $ended faults ended a run"
done
