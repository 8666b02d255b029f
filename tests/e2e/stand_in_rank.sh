#!/usr/bin/env bash
# Stands in for a rank of rstorch in launch.sh. It does what the file $STAND_IN/does says, and notes there what it was
# called with and which signals came.
#   exit CODE   rank 1 ends with it, the others wait; with 0: all do
#   kill        rank 1 is killed by SIGKILL
#   run         waits; SIGUSR1: ends with 75
#   stubborn    waits; SIGUSR1 is noted, and that is all
#   say TEXT    rank 1 says it a little later on stdout and stderr, and all end with 0
#   steps N     rank 1 writes one more checkpoint and ends with 7; with 0 when there are N
rank=$OMPI_COMM_WORLD_RANK
say() { echo "rank $rank: $*" >>"$STAND_IN/log"; }
read -r what value <"$STAND_IN/does"
trap 'say SIGUSR1; [ "$what" = stubborn ] || exit 75' USR1
say "$* with $OMP_NUM_THREADS threads"
echo "$$" >>"$STAND_IN/pids"
printf '%s\n' "$OMPI_MCA_orte_tmpdir_base" "${OMPI_MCA_btl_vader_backing_directory:-}" >>"$STAND_IN/folders"

end() {
  [ "$1" -ne 0 ] || touch "$STAND_IN/done"
  exit "$1"
}
case "$rank $what" in
  "1 exit") end "$value" ;;
  "1 kill") kill -9 $$ ;;
  "1 say")
    sleep 0.3
    echo "$value"
    echo "$value" >&2
    sleep 0.3
    end 0
    ;;
  "1 steps")
    checkpoints=$STAND_IN/runs/run/checkpoints
    mkdir -p "$checkpoints"
    count=$(($(ls "$checkpoints" | wc -l) + 1))
    mkdir "$checkpoints/step-$(printf %08d "$count")"
    [ "$count" -lt "$value" ] && end 7 || end 0
    ;;
esac
say ready
for _ in $(seq 300); do
  [ ! -e "$STAND_IN/done" ] || exit 0
  sleep 0.1
done
