#!/usr/bin/env bash
# SIGTERM, SIGINT, SIGUSR1 and SIGHUP: saved at the step's end, exit code 75, and the continued run ends with the same bits.
source "$(dirname "$0")/common.sh"
config="$source_dir/tests/e2e/long_run.yaml"

# A run that hangs saves nothing; a SIGTERM 30 s after the first one ends it all the same. Meanwhile the others are tried.
"$rstorch" train "$config" "run.dir=$work/hang" --simulate-ranks 2 --inject hang:rank=1@step=5 >/dev/null 2>&1 &
hanging=$!
until [ -e "$work/hang/run/train.log" ]; do sleep 0.1; done
sleep 0.5
[ "$(cat "/proc/$hanging/comm")" = rstorch ] || fail "the program calls itself $(cat "/proc/$hanging/comm")"
kill -TERM "$hanging"
kill -TERM "$hanging"
(sleep 31; kill -TERM "$hanging") &

expect_exit 0 "$rstorch" train "$config" "run.dir=$work/whole"
signals=(TERM INT USR1)
# Where HUP is ignored, as below nohup, it stays so.
((0x$(sed -n 's/^SigIgn:\s*//p' /proc/self/status) & 1)) || signals+=(HUP)
for signal in "${signals[@]}"; do
  stopped=0
  code=75
  while [ "$code" -eq 75 ]; do
    # As a shell would start it for a person: a background job of a script ignores SIGINT.
    (trap - INT; exec "$rstorch" train "$config" "run.dir=$work/$signal" --resume) 2>"$work/err" >/dev/null &
    process=$!
    (sleep "0.$((RANDOM % 5 + 1))"; kill "-$signal" "$process" 2>/dev/null || true) &
    code=0
    wait "$process" || code=$?
    wait $!
    if [ "$code" -eq 75 ]; then
      stopped=$((stopped + 1))
      expect_text "$work/err" "stopped by SIG$signal after step"
    fi
    # A signal before training begins ends the process as any other program.
    [ "$code" -lt 128 ] || code=75
    [ "$stopped" -lt 3 ] || break
  done
  [ "$stopped" -gt 0 ] || fail "SIG$signal never came in time"
  expect_exit 0 "$rstorch" train "$config" "run.dir=$work/$signal" --resume
  ! grep "warning:" "$work/err" || fail "a run that is continued unchanged is warned of changes"
  same_end "$work/whole/run" "$work/$signal/run"
done

code=0
wait "$hanging" || code=$?
[ "$code" -eq 143 ] || fail "a run that hangs ended with $code at a SIGTERM 31 s after its first, not 143"
