#!/usr/bin/env bash
# kill -9 at random moments: no checkpoint is lost or half, and the run that goes on ends with the same bits.
#   kill.sh RSTORCH [TIMES]
source "$(dirname "$0")/common.sh"
times=${2:-6}
config="$source_dir/tests/e2e/long_run.yaml"
overrides=(checkpoint.every=3 trainer.max_steps=1500)

# Every step-* folder is a whole checkpoint, and `last` is one of them.
check_checkpoints() {
  local folder=$1/checkpoints name
  [ -e "$folder" ] || return 0
  for name in "$folder"/step-*; do
    [ ! -e "$name" ] || "$rstorch" inspect "$name" >/dev/null || fail "$name is damaged"
  done
  # A kill between the first rename and the link leaves no link yet.
  [ ! -L "$folder/last" ] || "$rstorch" inspect "$folder/last" >/dev/null || fail "last is damaged"
}

# The newest step on the disk; 0 without one.
newest() {
  local steps
  steps=$(ls "$1/checkpoints" 2>/dev/null | sed -n 's/^step-0*//p' | sort -n | tail -1)
  echo "${steps:-0}"
}

expect_exit 0 "$rstorch" train "$config" "${overrides[@]}" "run.dir=$work/whole"
killed=0
round=0
while [ "$killed" -lt "$times" ]; do
  round=$((round + 1))
  dir=$work/round$round
  code=0
  while :; do
    before=$(newest "$dir/run")
    "$rstorch" train "$config" "${overrides[@]}" "run.dir=$dir" --resume >/dev/null 2>"$work/err" &
    process=$!
    sleep "0.$(printf %03d $((RANDOM % 700 + 20)))"
    kill -9 "$process" 2>/dev/null || true
    code=0
    wait "$process" 2>/dev/null || code=$?
    [ "$code" -eq 0 ] || [ "$code" -eq 137 ] || fail "exit code $code: $(cat "$work/err")"
    check_checkpoints "$dir/run"
    [ "$(newest "$dir/run")" -ge "$before" ] || fail "step $before was lost"
    [ "$code" -eq 137 ] || break
    killed=$((killed + 1))
  done
  same_end "$work/whole/run" "$dir/run"
  rm -rf "$dir"
done
echo "$killed kills, $round runs brought to their end, no checkpoint lost"
