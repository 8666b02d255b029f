#!/usr/bin/env bash
# Installs what rstorch needs to build and test on Debian 12: compiler, Meson and the libraries of meson.build.
# Needs root (or sudo). Safe to run again. CUDA is optional and not installed here.
set -euo pipefail

packages=(
  g++ meson ninja-build pkg-config ccache git ca-certificates
  libcli11-dev libyaml-cpp-dev libspdlog-dev libfmt-dev nlohmann-json3-dev doctest-dev
  libdeflate-dev libdnnl-dev libxxhash-dev libopenmpi-dev openmpi-bin
  procps iproute2
)

missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
if [ ${#missing[@]} -eq 0 ]; then
  echo "setup: all ${#packages[@]} packages are installed"
  exit 0
fi

run=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || { echo "setup: needs root to install: ${missing[*]}" >&2; exit 1; }
  run=(sudo)
fi
echo "setup: installing ${missing[*]}"
"${run[@]}" apt-get update -qq
DEBIAN_FRONTEND=noninteractive "${run[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
echo "setup: done"
