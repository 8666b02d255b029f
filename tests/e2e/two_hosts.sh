#!/usr/bin/env bash
# Ranks on two hosts, which are two network namespaces of this machine with a wire between them: the numbers of one process, a
# wire that is cut for a while, and one that is cut for good.
compare_weights=$(realpath "$2")
source "$(dirname "$0")/common.sh"
passed=0
ok() { passed=$((passed + 1)); }
skip() {
  echo "skipped: $*"
  echo "0 passed, 0 failed"
  exit 0
}
{ command -v mpirun && [ -e "$(dirname "$rstorch")/src/dist/mpi/rstorch_mpi.so" ]; } >/dev/null || skip "there is no mpirun, or the build has no MPI"
command -v ip >/dev/null || skip "there is no ip (package iproute2)"
a=rsta$$ b=rstb$$
clean_up() {
  for host in "$a" "$b"; do
    ip netns pids "$host" 2>/dev/null | xargs -r kill -9 || true
    ip netns del "$host" 2>/dev/null || true
  done
  rm -rf "$work"
}
trap clean_up EXIT
add_host() {  # NAME NUMBER
  ip link set "v$1" netns "$1" && ip -n "$1" addr add "10.77.0.$2/24" dev "v$1" && ip -n "$1" link set "v$1" up &&
    ip -n "$1" link set lo up && ip netns exec "$1" unshare --uts --ipc true
}
{ ip netns add "$a" && ip netns add "$b" && ip link add "v$a" type veth peer name "v$b" && add_host "$a" 1 &&
  add_host "$b" 2; } 2>"$work/why" || skip "no network namespaces here: $(tail -1 "$work/why")"
unset OMP_NUM_THREADS

# What mpirun takes for ssh: AGENT HOST COMMAND...
cat >"$work/agent" <<END
#!/bin/bash
host=\$1
shift
case "\$host" in 10.77.0.1) name=$a ;; *) name=$b ;; esac
exec ip netns exec \$name unshare --uts --ipc bash -c "hostname \$name; \$*"
END
chmod +x "$work/agent"
export OMPI_MCA_plm_rsh_agent="$work/agent" OMPI_MCA_btl=self,vader,tcp
export OMPI_MCA_btl_tcp_if_include=10.77.0.0/24 OMPI_MCA_oob_tcp_if_include=10.77.0.0/24

# on_two_hosts ARGUMENTS...: rank 0 on the one, rank 1 on the other.
on_two_hosts() {
  timeout -k 5 90 ip netns exec "$a" unshare --uts --ipc bash -c 'hostname "$0"; exec "$@"' "$a" \
    "$rstorch" launch -n 2 --hosts 10.77.0.1:1,10.77.0.2:1 train "$config" "$@"
}
wire() { ip -n "$a" link set "v$a" "$1"; }
none_left() {
  for _ in $(seq 100); do
    [ -n "$(ip netns pids "$a"; ip netns pids "$b")" ] || return 0
    sleep 0.1
  done
  fail "left behind: $(ip netns pids "$a") $(ip netns pids "$b")"
}

config=$source_dir/tests/e2e/long_run.yaml
expect_exit 0 "$rstorch" train "$config" "run.dir=$work/one" trainer.max_steps=100
for run in two again; do
  expect_exit 0 on_two_hosts "run.dir=$work/$run" trainer.max_steps=100
  none_left
done
expect_exit 0 "$compare_weights" "$work/one/run/checkpoints/last" "$work/two/run/checkpoints/last" 1e-6
echo "two hosts: weights differ by $(cat "$work/out")"
same_end "$work/two/run" "$work/again/run"
ok

# While the wire is cut for 3 s the run waits.
expect_exit 0 on_two_hosts "run.dir=$work/whole"
(sleep 2; wire down; sleep 3; wire up) &
expect_exit 0 on_two_hosts "run.dir=$work/cut" distributed.timeout=20s
wait
none_left
same_end "$work/whole/run" "$work/cut/run"
ok

# Cut for good: the ranks end and say with whom there is no word; mpirun, which waits for the other host, gets 5 s.
(sleep 3; wire down; date +%s.%N >"$work/cut-at") &
expect_exit 7 on_two_hosts "run.dir=$work/gone" distributed.timeout=4s trainer.max_steps=1000000
wait
awk -v a="$(cat "$work/cut-at")" -v b="$EPOCHREALTIME" 'BEGIN {printf "ended %.1f s after the cut\n", b - a; exit b - a > 4 + 3 + 5}' || fail "took too long"
expect_text "$work/err" "error[E0702]: rank 1 (process "
none_left
ok
echo "$passed passed, 0 failed"
