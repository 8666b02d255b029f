# Sourced after common.sh: two hosts, which are two network namespaces of this machine with a wire between them. Skips where
# there are none to be had.
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

# on_two_hosts COMMAND...: `rstorch COMMAND`, rank 0 on the one, rank 1 on the other.
on_two_hosts() {
  timeout -k 5 90 ip netns exec "$a" unshare --uts --ipc bash -c 'hostname "$0"; exec "$@"' "$a" \
    "$rstorch" launch -n 2 --hosts 10.77.0.1:1,10.77.0.2:1 "$@"
}
wire() { ip -n "$a" link set "v$a" "$1"; }
none_left() {
  for _ in $(seq 100); do
    [ -n "$(ip netns pids "$a"; ip netns pids "$b")" ] || return 0
    sleep 0.1
  done
  fail "left behind: $(ip netns pids "$a") $(ip netns pids "$b")"
}
