#!/usr/bin/env bash
# Every kernel that the headers declare has a CUDA half. The module fills the pointers of the program's kernels, so each
# of them is a symbol that it looks for: to be seen on a machine without a GPU.
# usage: cuda_symbols.sh MODULE
set -euo pipefail
module=$1 kernels=$(dirname "$0")/../../kernels
passed=0 failed=0

wanted=$(nm -D -C --undefined-only "$module" | sed -n 's/^ *U rstorch::kernels:://p')

# check NAME
check() {
  if grep -qxF "$1" <<<"$wanted"; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    echo "no CUDA kernel: $1"
  fi
}

for name in $(cat "$kernels"/*.h | tr '\n' ' ' | grep -oE 'extern Kernel<[^;]*>[[:space:]]+[a-z0-9_]+;' | sed -E 's/.*[[:space:]>]([a-z0-9_]+);/\1/'); do
  check "$name"
done
# Of elementwise ops there is a struct each.
for family in Unary Binary; do
  header=$kernels/elementwise/${family,}_ops.h
  for op in $(sed -nE 's/^struct ([A-Za-z]+) .*/\1/p' "$header"); do
    check "$family<rstorch::kernels::$op>::forward"
  done
done

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
