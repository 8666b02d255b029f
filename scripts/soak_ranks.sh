#!/usr/bin/env bash
# Training on ranks, hurt 100 times (or as often as said) at random moments: a rank killed with -9, stopped, or interrupted,
# mpirun killed, the launcher killed. Each time all ranks end in time, leave no process and no half checkpoint, and the run
# that goes on ends with the bits of one that nothing happened to. One line for each.
#   scripts/soak_ranks.sh [TIMES] [RANKS] [RSTORCH]
times=${1:-100} ranks=${2:-3}
here=$(realpath "$(dirname "$0")")
set -- "${3:-$here/../build/rstorch}"
source "$here/../tests/e2e/common.sh"
unset OMP_NUM_THREADS
timeout=2
export RSTORCH_START_TIMEOUT=8  # for a rank that was stopped before MPI has started
config="$source_dir/tests/e2e/long_run.yaml"
words=(launch -n "$ranks" train "$config" checkpoint.every=5 trainer.max_steps=1500 "distributed.timeout=${timeout}s")

all_of() { pgrep -f "run.dir=$1( |$)" || true; }
ranks_of() { pgrep -P "$(mpirun_of "$1")" 2>/dev/null || true; }
mpirun_of() { pgrep -f "^[^ ]*mpirun .*run.dir=$1( |$)" | head -1 || true; }
launcher_of() { pgrep -of "^[^ ]*rstorch launch .*run.dir=$1( |$)" || true; }  # not the `timeout` before it, nor its child
steps_of() { ls "$1/run/checkpoints" 2>/dev/null | sed -n "s/^step-0*//p" | sort -n | tail -1 || true; }

# hurt HOW DIR: what a user sees then, as an extended regular expression of exit codes; nothing if nobody was there.
hurt() {
  local victim
  case $1 in
    launcher) victim=$(launcher_of "$2") ;;
    mpirun) victim=$(mpirun_of "$2") ;;
    *) victim=$(ranks_of "$2" | shuf -n 1) ;;
  esac
  [ -n "$victim" ] || return 0
  case $1 in
    stop) kill -STOP "$victim" && echo 7 ;;
    signal) kill -USR1 "$victim" && echo 75 ;;
    launcher) kill -9 "$victim" && echo 137 ;;
    *) kill -9 "$victim" && echo 7 ;;
  esac 2>/dev/null || true
}

expect_exit 0 "$rstorch" "${words[@]}" "run.dir=$work/whole"
done_=0 ends=0 round=0
while [ "$done_" -lt "$times" ]; do
  round=$((round + 1))
  dir=$work/round$round
  while :; do
    before=$(steps_of "$dir")
    how=$(shuf -n 1 -e kill kill stop signal mpirun launcher)
    code=0
    timeout -k 5 120 "$rstorch" "${words[@]}" "run.dir=$dir" --resume >/dev/null 2>"$work/err" &
    job=$!
    sleep "$((RANDOM % 3)).$(printf %03d $((RANDOM % 1000)))"
    begin=$EPOCHREALTIME
    wanted=$(hurt "$how" "$dir")
    wait "$job" 2>/dev/null || code=$?
    for _ in $(seq 150); do
      [ -n "$(all_of "$dir")" ] || break
      sleep 0.1
    done
    [ -z "$(all_of "$dir")" ] || fail "$how: left behind: $(pgrep -af "run.dir=$dir")"
    took=$(awk -v a="$begin" -v b="$EPOCHREALTIME" 'BEGIN {printf "%.1f", b - a}')
    [ "$code" -ne 0 ] || break  # through, hurt too late or not at all
    # Before a rank handles signals one ends it. mpirun may hang when a rank ends while it starts: the launcher says so.
    early=$(grep -cE "before the first step|SIGUSR1|mpirun does not see to" "$work/err" || true)
    [ "$code" = "$wanted" ] || [ "$how$code" = signal7 -a "$early" -gt 0 ] ||
      fail "$how: exit code $code, not $wanted: $(cat "$work/err")"
    # Where the launcher is gone mpirun is hurried after 5 s only.
    case $how in
      launcher) most=15 ;;
      stop) most=$((RSTORCH_START_TIMEOUT + 5 + 2 + 3)) ;;
      *) most=$((timeout + 3 + 2)) ;;
    esac
    ! grep -q "mpirun does not see to" "$work/err" || most=45
    awk -v took="$took" -v most="$most" 'BEGIN {exit took > most}' || fail "$how: took $took s"
    now=$(steps_of "$dir")
    [ "${now:-0}" -ge "${before:-0}" ] || fail "$how: step $before was lost"
    for name in "$dir"/run/checkpoints/step-*; do
      [ ! -e "$name" ] || "$rstorch" inspect "$name" >/dev/null || fail "$how: $name is damaged"
    done
    done_=$((done_ + 1))
    echo "$done_: $how, exit code $code after $took s, at step ${now:-0}"
    [ "$done_" -lt "$times" ] || break 2
  done
  same_end "$work/whole/run" "$dir/run"
  rm -rf "$dir"
  ends=$((ends + 1))
done
echo "$done_ faults, $ends runs brought to their end with the same bits, nothing left behind, no checkpoint lost"
