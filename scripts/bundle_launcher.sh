#!/bin/sh
# bin/rstorch of a bundle (scripts/bundle.sh), and its tests by links of their names: starts the program with the libraries
# that came with it. That takes a millisecond.
name=${0##*/}
self=$0
while [ -L "$self" ]; do
  link=$(readlink "$self")
  case $link in /*) self=$link ;; *) self=${self%/*}/$link ;; esac
done
case $self in */*) bin=${self%/*} ;; *) bin=. ;; esac
top=$(cd "$bin/.." && pwd -P) || exit 1

libraries=$top/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}

# NVIDIA's libraries, where there is a GPU: in the folders of LD_LIBRARY_PATH and the loader's own nobody need look; else in a
# toolkit, or in a Python's packages (pip install nvidia-cudnn-cu13 nvidia-cublas).
if [ -e "$top/lib/rstorch/nvidia_libraries" ] && { [ -e /dev/nvidiactl ] || [ -e /dev/dxg ] || [ -n "${RSTORCH_CUDA_MODULE:-}" ]; }; then
  python=$(command -v python3) && python=${python%/bin/*}
  while read -r library; do
    for folder in "${CUDA_HOME:-/usr/local/cuda}"/lib64 /usr/local/cuda/lib64 /usr/local/cuda-*/lib64 \
      "${VIRTUAL_ENV:-/none}"/lib/python3*/site-packages/nvidia/*/lib "${CONDA_PREFIX:-/none}"/lib \
      "${CONDA_PREFIX:-/none}"/lib/python3*/site-packages/nvidia/*/lib "$python"/lib/python3*/site-packages/nvidia/*/lib \
      "${HOME:-/none}"/.local/lib/python3*/site-packages/nvidia/*/lib /usr/local/lib/python3*/*-packages/nvidia/*/lib \
      /usr/lib/python3*/*-packages/nvidia/*/lib /opt/*/lib/python3*/site-packages/nvidia/*/lib; do
      [ -e "$folder/$library" ] || continue
      case ":$libraries:" in *":$folder:"*) ;; *) libraries=$libraries:$folder ;; esac
      break
    done
  done <"$top/lib/rstorch/nvidia_libraries"
fi
export LD_LIBRARY_PATH="$libraries"

if [ -d "$top/mpi" ]; then
  export OPAL_PREFIX="$top/mpi" PMIX_INSTALL_PREFIX="$top/mpi" PMIX_MCA_pcompress_base_silence_warning=1
  command -v ssh >/dev/null || command -v srun >/dev/null || export OMPI_MCA_plm=isolated
fi
[ -x "$top/lib/rstorch/$name" ] || name=rstorch
exec "$top/lib/rstorch/$name" "$@"
