# Shared by the end-to-end tests. Usage of each: NAME.sh RSTORCH [...], from anywhere.
set -euo pipefail

rstorch=$(realpath "$1")
source_dir=$(realpath "$(dirname "${BASH_SOURCE[0]}")/../..")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-2}
cd "$source_dir"  # configs name their data from here

fail() {
  echo "FAIL: $*" >&2
  exit 1
}

# expect_exit CODE COMMAND...: runs it, keeps what it says in $work/out and $work/err.
expect_exit() {
  local wanted=$1 got=0
  shift
  "$@" >"$work/out" 2>"$work/err" || got=$?
  [ "$got" -eq "$wanted" ] || fail "exit code $got, not $wanted: $* $(cat "$work/err")"
}

# expect_text FILE TEXT
expect_text() {
  grep -qF -- "$2" "$1" || fail "no '$2' in: $(cat "$1")"
}

# The lines of metrics.jsonl without what depends on the clock.
metrics_of() {
  sed -E 's/"(time|samples_per_s)": [0-9.e+-]+(, )?//g' "$1/metrics.jsonl"
}

# Two runs ended with the same bits, and told the same story.
same_end() {
  local file
  for file in model.safetensors trainer.safetensors; do
    cmp "$1/checkpoints/last/$file" "$2/checkpoints/last/$file" || fail "$file differs: $1, $2"
  done
  diff <(metrics_of "$1") <(metrics_of "$2") || fail "metrics differ: $1, $2"
}
