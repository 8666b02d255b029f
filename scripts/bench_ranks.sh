#!/usr/bin/env bash
# How training scales over ranks, and how much of the exchange of gradients hides behind the computation. Each rank has one
# thread. Prints a table in Markdown.
#   scripts/bench_ranks.sh [RSTORCH]
# Rounds of: one rank; two on this machine; two on two hosts (network namespaces) with a wire of limited bandwidth.
here=$(realpath "$(dirname "$0")")
set -- "${1:-$here/../build/rstorch}"
source "$here/../tests/e2e/common.sh"
source "$here/../tests/e2e/hosts.sh"
export OMP_NUM_THREADS=1
config=$source_dir/tests/bench/ranks.yaml

field() { grep -oE "\"$2\": *[0-9.e+-]+" "$1" | head -1 | sed 's/.*: *//'; }
# measure NAME COMMAND...
measure() {
  local name=$1
  shift
  expect_exit 0 "$@" "$config" --json "${overrides[@]}"
  cp "$work/out" "$work/$name"
}
limit() {  # RATE: of the wire, both ways
  for host in "$a" "$b"; do
    ip netns exec "$host" tc qdisc replace dev "v$host" root tbf rate "$1" burst 256kb latency 50ms
  done
}
# row NAME BATCH FILE
row() {
  local one two
  one=$(field "$work/one-$2" samples_per_s) two=$(field "$3" samples_per_s)
  printf '| %s | %s | %.1f | %.0f | %.2f |' "$1" "$2" "$(field "$3" median)" "$two" "$(awk -v a="$two" -v b="$one" 'BEGIN {print a / b}')"
  if grep -q exchange "$3"; then
    awk -v c="$(field "$3" compute_ms)" -v x="$(field "$3" communication_ms)" -v h="$(field "$3" hidden_ms)" '
      BEGIN {printf " %.1f | %.1f | %.1f | %.0f %% |\n", c, x, c + x, 100 * h / x}'
  else
    echo " | | | |"
  fi
}

echo "| ranks | global batch | step ms | samples/s | speed-up | compute ms | exchange alone ms | sum ms | hidden |"
echo "|---|---|---|---|---|---|---|---|---|"
for batch in ${BATCHES:-512 1024}; do
  overrides=("data.batch_size=$batch")
  measure "one-$batch" "$rstorch" bench
  row 1 "$batch" "$work/one-$batch"
  measure two "$rstorch" launch -n 2 bench
  row "2, one machine" "$batch" "$work/two"
  for rate in 4gbit 2gbit 1gbit; do
    limit "$rate"
    measure wire on_two_hosts bench
    row "2, wire of $rate" "$batch" "$work/wire"
  done
done
