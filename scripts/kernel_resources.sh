#!/usr/bin/env bash
# A table of what each CUDA kernel takes of the device: registers a thread, shared memory, spills. Of a kernel's template
# instances, the most of each. Needs nvcc and a build folder configured with -Dgpu=enabled; no GPU, no driver.
#
#   scripts/kernel_resources.sh [BUILD_FOLDER [FILE.cu...]] > tests/bench/results/DATE-cuda-resources.md
set -euo pipefail
cd "$(dirname "$0")/.."
build=$(realpath "${1:-build-gpu}")
shift $(($# > 0))
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The build's own commands, with ptxas asked to tell, and the objects thrown away.
ninja -C "$build" -t compdb | sed -nE 's/^ *"command": "(.* -c [^"]*\.cu)",?$/\1/p' | sed 's/\\"/"/g; s/\\\\/\\/g' | sort -u >"$work/commands"
[ -s "$work/commands" ] || { echo "kernel_resources: $build compiles no CUDA; configure it with -Dgpu=enabled" >&2; exit 2; }
if [ $# -gt 0 ]; then
  grep -E "/($(basename -a "$@" | paste -sd '|'))$" "$work/commands" >"$work/chosen"
  mv "$work/chosen" "$work/commands"
fi
resources_of() { # COMMAND
  local object
  object=$(mktemp "$work/XXXXXX.o")
  echo "file ${1##*/}"
  (cd "$build" && eval "$(sed -E "s# -MD -MQ [^ ]+ -MF [^ ]+##; s# -o [^ ]+# -o $object#; s#^ccache ##" <<<"$1") -Xptxas=-v") 2>&1
}
export -f resources_of
export work build
tr '\n' '\0' <"$work/commands" | nice xargs -0 -n 1 -P "$(nproc)" bash -c 'resources_of "$1" >"$(mktemp "$work/XXXXXX.ptxas")"' resources ||
  { grep -h -B2 -A5 -E "error|warning" "$work"/*.ptxas >&2; exit 1; }

cat "$work"/*.ptxas | c++filt | awk -v date="$(date -u +%F)" -v nvcc="$(nvcc --version | sed -nE 's/.*release ([0-9.]+).*/\1/p')" '
  # "void rstorch::kernels::(anonymous namespace)::softmax_rows<float, 4>(...)" is softmax_rows.
  function short(text) {
    sub(/^.*Compiling entry function ./, "", text)
    sub(/. for .*$/, "", text)
    gsub(/\(anonymous namespace\)::/, "", text)
    sub(/^void /, "", text)
    sub(/[<(].*$/, "", text)
    sub(/^.*::/, "", text)
    return text
  }
  $1 == "file" {file = $2}
  /Compiling entry function/ {kernel = file " | " short($0); instances[kernel]++}
  /bytes stack frame/ {
    for (i = 1; i < NF; ++i) {
      if ($(i + 1) == "bytes" && $(i + 3) == "stores,") spill[kernel] = most(spill[kernel], $i)
      if ($(i + 1) == "bytes" && $(i + 2) == "stack") stack[kernel] = most(stack[kernel], $i)
    }
  }
  /Used [0-9]+ registers/ {
    for (i = 1; i < NF; ++i) {
      if ($(i + 1) ~ /^registers/) registers[kernel] = most(registers[kernel], $i)
      if ($(i + 1) == "bytes" && $(i + 2) ~ /^smem/) shared[kernel] = most(shared[kernel], $i)
    }
  }
  function most(a, b) { return a + 0 > b + 0 ? a + 0 : b + 0 }
  END {
    print "# What CUDA kernels take of the device\n"
    print date ", nvcc " nvcc ", by scripts/kernel_resources.sh. The most of all template instances; most registers first.\n"
    print "| file | kernel | instances | registers | shared bytes | stack bytes | spilled bytes |\n|---|---|---|---|---|---|---|"
    for (kernel in instances)
      printf "| %s | %d | %d | %d | %d | %d |\n", kernel, instances[kernel], registers[kernel], shared[kernel], stack[kernel], spill[kernel] | "sort -t\"|\" -k5,5nr -k2,3"
  }'
