#!/usr/bin/env bash
# Telemetry on a machine with a GPU, in under 8 minutes: bash tests/performance/gpu_check.sh [OUT]
#
# Real cards are read through pynvml while they are loaded: by the embedded engine if its wheel has
# CUDA, else by pynvml's readings of whatever runs. Without a card the planted NVML stands in, which
# proves that the script works and nothing about a GPU; it says which of the two it did.
set -euo pipefail
cd "$(dirname "$0")/../.."
out=${1:-$(mktemp -d)}
mkdir -p "$out"
python=${PYTHON:-.venv/bin/python}
[ -x "$python" ] || python=python3
if command -v nvidia-smi >/dev/null && nvidia-smi -L >/dev/null 2>&1; then
  echo "real NVIDIA cards:"
  nvidia-smi -L
else
  echo "NO GPU HERE: the planted NVML stands in, nothing below is about a real card"
  gcc -shared -fPIC -O1 -Wl,-soname,libnvidia-ml.so.1 -o "$out/libnvidia-ml.so.1" \
    tests/support/fake_nvml.c -lm
  export LD_LIBRARY_PATH="$out${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}" PLANTED_NVML=1
fi
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}"
timeout 450 "$python" tests/performance/gpu_check.py "$out"
