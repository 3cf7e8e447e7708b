#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# run-on-gpu.sh [--out RECORD.json] [--skip-sanitizer]: everything the device library can show on a machine with a driver, a CUDA toolkit with
# nvcc, CMake and Python with PyTorch. Builds for the GPU that is there, checks every kernel against float64 (tests/, bench/cases.py), runs
# compute-sanitizer on the tests, times every case beside PyTorch, and writes one record. Without a GPU the record says 'not run'.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
out=$PWD/device-record.json
sanitizer=yes
while (($#)); do
  case $1 in
    --out) out=$2 && shift 2 ;;
    --skip-sanitizer) sanitizer=no && shift ;;
    *) echo "usage: run-on-gpu.sh [--out RECORD.json] [--skip-sanitizer]" >&2 && exit 2 ;;
  esac
done
python=${PYTHON:-python3}
build=${BUILD:-$here/../build-cuda-gpu}
mkdir -p "$build"

capability=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null | head -1 | tr -d .)
if [[ -z $capability ]]; then
  "$python" "$here/bench/record.py" --out "$out" --not-run "no GPU and driver on this machine"
  echo "run-on-gpu: expected a GPU and its driver, got none; $out says 'not run'" >&2
  exit 1
fi
[[ $capability == 90 || $capability == 100 ]] && capability+=a
nvidia-smi --query-gpu=name,driver_version,clocks.sm,clocks.mem,clocks.max.sm,power.limit --format=csv >"$build/smi.txt"

cmake -S "$here" -B "$build" -DDIFFMAVIL_CUDA=ON -DDIFFMAVIL_CUDA_ARCHITECTURES="$capability-real" >"$build/cmake.log" &&
  cmake --build "$build" --parallel "$(nproc)" --target diffmavil_cuda gpu-tests >>"$build/cmake.log" 2>&1 ||
  { tail -40 "$build/cmake.log" && exit 1; }

# ---- the tests of tests/, on the GPU ----
: >"$build/tests.txt"
for test in "$build"/device/gpu-*-test; do
  started=$(date +%s%N)
  "$test" >"$test.log" 2>&1
  echo "$(basename "$test") $? $((($(date +%s%N) - started) / 1000000))" | tee -a "$build/tests.txt"
done

# ---- compute-sanitizer, where the machine lets it ----
: >"$build/sanitizer.txt"
if [[ $sanitizer == yes ]] && command -v compute-sanitizer >/dev/null; then
  for tool in memcheck racecheck initcheck synccheck; do
    for test in "$build"/device/gpu-*-test; do
      timeout 120 compute-sanitizer --tool "$tool" --error-exitcode 9 "$test" >"$test.$tool.log" 2>&1
      echo "$tool $(basename "$test") $?" | tee -a "$build/sanitizer.txt"
    done
  done
fi

# ---- every op at the model's sizes: float64, and PyTorch beside it ----
"$python" "$here/bench/gpu_bench.py" "$build/device/libdiffmavil_cuda.so" --out "$build/bench.json"
checked=$?
nvidia-smi --query-gpu=clocks.sm,clocks.mem,temperature.gpu,power.draw --format=csv >>"$build/smi.txt"
"$python" "$here/bench/record.py" --out "$out" --build "$build"
echo "record: $out"
! grep -qvE ' 0 [0-9]+$' "$build/tests.txt" && exit "$checked"
exit 1
