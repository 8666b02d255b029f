#!/usr/bin/env bash
# Stands in for a rank of rstorch in launch.sh. It does what the file $STAND_IN/does says, and appends to $STAND_IN/log
# what it was called with and which signals came.
#   exit CODE   rank 1 ends with it at once, the others wait
#   kill        rank 1 is killed by SIGKILL
#   run         waits; SIGUSR1: all end with 75
#   stubborn    waits; SIGUSR1 is noted, and that is all
#   steps       writes one more checkpoint, then as exit 7; the third time 0
rank=$OMPI_COMM_WORLD_RANK
say() { echo "rank $rank: $*" >>"$STAND_IN/log"; }
read -r what code <"$STAND_IN/does"
trap 'say SIGUSR1; [ "$what" = stubborn ] || exit 75' USR1
say "$* threads=$OMP_NUM_THREADS"
echo "$$" >>"$STAND_IN/pids"

case "$what" in
  exit) [ "$rank" -ne 1 ] || exit "$code" ;;
  kill) [ "$rank" -ne 1 ] || kill -9 $$ ;;
  steps)
    checkpoints=$STAND_IN/runs/run/checkpoints
    if [ "$rank" -eq 1 ]; then
      count=$(ls "$checkpoints" 2>/dev/null | wc -l)
      mkdir -p "$checkpoints/step-$(printf %08d $((count + 1)))"
      [ "$count" -lt 2 ] || code=0
      exit "${code:-7}"
    fi
    ;;
esac
[ "$what" != exit ] || [ "$code" -ne 0 ] || exit 0
for _ in $(seq 300); do sleep 0.1; done
