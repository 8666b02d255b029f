#!/usr/bin/env bash
# Fetches a public data set into datasets/NAME (or FOLDER/NAME) and checks every file against its known SHA-256 sum.
#
#   scripts/fetch_dataset.sh mnist [FOLDER]
#   scripts/fetch_dataset.sh cifar10 [FOLDER]
#
# Safe to run again: files that are there and right are kept, an interrupted download goes on where it stopped, and a file
# under its final name is always whole. RSTORCH_MIRROR=URL puts a mirror of your own before the public ones.
set -euo pipefail

usage() {
  sed -n '2,8s/^# \{0,1\}//p' "$0" >&2
  exit 2
}

# NAME: mirrors, then "SHA-256 FILE" lines.
mnist_mirrors=(
  https://ossci-datasets.s3.amazonaws.com/mnist
  https://storage.googleapis.com/cvdf-datasets/mnist
  http://yann.lecun.com/exdb/mnist
)
mnist_files='
440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609 train-images-idx3-ubyte.gz
3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c train-labels-idx1-ubyte.gz
8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6 t10k-images-idx3-ubyte.gz
f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6 t10k-labels-idx1-ubyte.gz
'
cifar10_mirrors=(
  https://www.cs.toronto.edu/~kriz
  https://storage.googleapis.com/s4tf-hosted-binaries/datasets/CIFAR10
)
cifar10_files='
c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd cifar-10-binary.tar.gz
'

has_sum() { # FILE SUM
  [ -f "$1" ] && [ "$(sha256sum "$1" | cut -d ' ' -f 1)" = "$2" ]
}

# Goes on where PART ends.
download() { # URL PART
  if command -v curl >/dev/null; then
    curl --fail --location --silent --show-error --connect-timeout 20 --retry 2 --continue-at - --output "$2" "$1"
  elif command -v wget >/dev/null; then
    wget --quiet --timeout=20 --tries=3 --continue --output-document="$2" "$1"
  else
    echo "fetch_dataset: needs curl or wget" >&2
    exit 1
  fi
}

fetch() { # FILE SUM MIRROR...
  local file=$1 sum=$2 part="$1.part" mirror attempt code
  shift 2
  if has_sum "$file" "$sum"; then
    echo "fetch_dataset: $file is there"
    return
  fi
  for mirror in "$@"; do
    echo "fetch_dataset: $mirror/$file"
    for attempt in resume anew; do
      [ "$attempt" = resume ] || rm -f "$part"
      code=0
      download "$mirror/$file" "$part" || code=$?
      if has_sum "$part" "$sum"; then
        mv -f "$part" "$file"
        return
      fi
      # A lost connection leaves a part to go on with. A server's refusal, or a whole file that is wrong, does not.
      case $code in 0 | 8 | 22 | 33 | 36) ;; *) break ;; esac
    done
    if [ $code -eq 0 ]; then
      echo "fetch_dataset: its SHA-256 is not $sum" >&2
      rm -f "$part"
    fi
  done
  echo "fetch_dataset: no mirror gave $file; run again to go on" >&2
  exit 1
}

# cifar10: the .bin files out of the archive, all or none.
unpack_cifar10() {
  [ -d cifar-10-batches-bin ] && return
  rm -rf unpacking && mkdir unpacking
  tar -xzf cifar-10-binary.tar.gz -C unpacking
  mv unpacking/cifar-10-batches-bin . && rmdir unpacking
}

[ $# -ge 1 ] && [ $# -le 2 ] || usage
name=$1
case $name in
  mnist) mirrors=("${mnist_mirrors[@]}") files=$mnist_files ;;
  cifar10) mirrors=("${cifar10_mirrors[@]}") files=$cifar10_files ;;
  *) usage ;;
esac
[ -z "${RSTORCH_MIRROR:-}" ] || mirrors=("$RSTORCH_MIRROR" "${mirrors[@]}")

root=${2:-$(dirname "$0")/../datasets}
mkdir -p "$root/$name"
cd "$root/$name"
while read -r sum file; do
  [ -n "$file" ] && fetch "$file" "$sum" "${mirrors[@]}"
done <<<"$(sed '/^$/d' <<<"$files")"
[ "$name" != cifar10 ] || unpack_cifar10
echo "fetch_dataset: $name is complete in $(pwd)"
