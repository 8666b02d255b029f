#!/usr/bin/env bash
# What a user sees of a broken config: tests/golden/broken/NAME.yaml gives NAME.txt on stderr, byte for byte, in one
# report with places and hints, exit code 3, nothing on stdout, in at most 50 ms of processor time.
#   broken_configs.sh RSTORCH
# First lines of a config may say `# args: key=value ...` (the overrides) and `# exit: N` (instead of 3).
# RSTORCH_UPDATE_GOLDEN=1 writes the .txt anew: read the difference before committing it.
source "$(dirname "$0")/common.sh"
cd tests/golden/broken  # so that the places in the texts do not depend on where the source is
unset RSTORCH_TEST_UNSET
limit_ms=50
passed=0 failed=0 reason=

directive() {  # directive FILE NAME: the text of its comment `# NAME: ...`
  head -n 2 "$1" | LC_ALL=C tr -d '\000' | LC_ALL=C sed -n "s/^# $2: //p"
}

# attempt FILE: what it says in $work/out and $work/err, its exit code in $code, its processor time in $took.
attempt() {
  local arguments times TIMEFORMAT='%3U %3S'
  read -ra arguments <<<"$(directive "$1" args)"
  code=0
  { time "$rstorch" train "$1" "${arguments[@]}" --dry-run >"$work/out" 2>"$work/err" </dev/null; } 2>"$work/time" ||
    code=$?
  read -r -a times <"$work/time"
  took=$((10#${times[0]/./} + 10#${times[1]/./}))
}

# The time of a processor, as other programs may be busy; the best of three.
best_time() {
  local best=$took tries=1
  while [ $tries -lt 3 ]; do
    attempt "$1"
    [ "$took" -ge "$best" ] || best=$took
    tries=$((tries + 1))
  done
  took=$best
}

# check FILE GOLDEN: whether all is as it should be; if not, $reason.
check() {
  local wanted
  wanted=$(directive "$1" exit)
  wanted=${wanted:-3}
  attempt "$1"
  best_time "$1"
  [ "${RSTORCH_UPDATE_GOLDEN:-}" != 1 ] || cp "$work/err" "$2"
  if [ "$code" != "$wanted" ]; then
    reason="exit code $code, not $wanted"
  elif [ -s "$work/out" ]; then
    reason="it wrote to stdout: $(head -n 3 "$work/out")"
  elif ! cmp -s "$work/err" "$2"; then
    reason="other text: $(diff "$2" "$work/err" 2>&1 || true)"
  elif ! grep -qE '^ *--> ([^ ]+:[0-9]+:[0-9]+$|argument [0-9]+: )|is larger than 1 MB$' "$work/err"; then
    reason="no place: $(cat "$work/err")"
  elif ! grep -qE '^ *= help: |^ *\| *\^+ .|^ +\^+ .' "$work/err"; then
    reason="no hint: $(cat "$work/err")"
  elif [ "$took" -gt $limit_ms ]; then
    reason="it took $took ms, more than $limit_ms"
  else
    return 0
  fi
  return 1
}

examine() {
  if check "$1" "$2"; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    echo "FAIL: $1: $reason"
  fi
}

for config in *.yaml; do
  examine "$config" "${config%.yaml}.txt"
done

# Too large to keep: more than 1 MB. It is read no further, so it has no line.
cd "$work"
{ echo "rstorch: 1" && head -c 1100000 /dev/zero | tr '\0' '#' && echo; } >too_large.yaml
cat >too_large.txt <<'TEXT'
error[E0313]: `too_large.yaml` is larger than 1 MB
   = help: a config is small; put large tables into a data file
TEXT
examine too_large.yaml too_large.txt

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
