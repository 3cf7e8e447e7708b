#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# run-on-gpu.sh [--out RECORD.json] [--parts tests,bench,sanitizer] [--minutes 60] [--jobs 8] [--built FILE] | --build-for 90 --built FILE
#
# Everything the device library can show on a machine with a driver, a CUDA toolkit with nvcc, CMake and Python with PyTorch. Builds for the GPU that is
# there, checks every kernel against float64 (tests/, then bench/), times every case beside PyTorch, runs compute-sanitizer on the tests. The record is
# written after each part, within them by bench/, and says what time was left for; a second call with the same --out adds its parts. Without a GPU it
# says 'not run'. --build-for builds on a machine without a GPU for one of that compute capability, into one file of some MB; --built then takes that
# file in place of nvcc and CMake.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
out=$PWD/device-record.json parts=tests,bench,sanitizer minutes=60 jobs=8 built= build_for=
while (($#)); do
  case $1 in
    --out | --parts | --minutes | --jobs | --built | --build-for)
      (($# > 1)) || { echo "run-on-gpu: expected a value after $1" >&2 && exit 2; }
      name=${1#--} && printf -v "${name/-/_}" %s "$2" && shift 2 ;;
    *) sed -n '3,9s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2 && exit 2 ;;
  esac
done
python=${PYTHON:-python3}
build=${BUILD:-$here/../build-cuda-gpu}
mkdir -p "$build/device" "$(dirname "$out")"
deadline=$(awk -v minutes="$minutes" -v now="$EPOCHSECONDS" 'BEGIN { printf "%d", now + 60 * minutes }')
left() { echo $((deadline - EPOCHSECONDS)); }
wants() { [[ ,$parts, == *,$1,* ]]; }
record() { "$python" "$here/bench/record.py" --out "$out" "$@"; }
PATH=$PATH:/usr/local/cuda/bin

# ---- the build ----
compile() {
  local capability=$1
  [[ $capability == 90 || $capability == 100 ]] && capability+=a
  cmake -S "$here" -B "$build" -DDIFFMAVIL_CUDA=ON -DDIFFMAVIL_CUDA_ARCHITECTURES="$capability-real" >"$build/cmake.log" 2>&1 &&
    cmake --build "$build" --parallel "${CMAKE_BUILD_PARALLEL_LEVEL:-$(nproc)}" --target diffmavil_cuda gpu-tests >>"$build/cmake.log" 2>&1
}
if [[ -n $build_for ]]; then
  compile "$build_for" || { tail -40 "$build/cmake.log" && exit 1; }
  # The same code in every program: a dictionary larger than two of them leaves little more than one.
  git -C "$here" rev-parse HEAD >"$build/device/commit.txt"
  (cd "$build/device" && tar -cf - commit.txt libdiffmavil_cuda.so $(ls gpu-*-test)) | xz -T1 --lzma2=preset=2,dict=64MiB >"$built.part" && mv "$built.part" "$built"
  exit
fi
capability=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null | head -1 | tr -d .)
if [[ -z $capability ]]; then
  record --not-run "no GPU and driver on this machine"
  echo "run-on-gpu: expected a GPU and its driver, got none; $out says 'not run'" >&2
  exit 1
fi
# An earlier call's parts are in its record.
rm -f "$build"/{tests,sanitizer}.txt "$build/bench.json"
smi() { nvidia-smi --query-gpu="$1" --format=csv; }
smi name,driver_version,clocks.sm,clocks.mem,clocks.max.sm,power.limit >"$build/smi.txt"
# By xz, or by a Python that has it.
unpack() {
  tar -xJf "$built" -C "$build/device" 2>/dev/null ||
    "$python" -c 'import sys, tarfile; tarfile.open(sys.argv[1]).extractall(sys.argv[2], filter="data")' "$built" "$build/device"
}
[[ -n $built && ! $build/unpacked -nt $built ]] && unpack && touch "$build/unpacked"
if [[ -z $built ]] || ! ldd "$build/device/gpu-fill-test" >"$build/first.log" 2>&1 || grep -q 'not found' "$build/first.log"; then
  [[ -n $built ]] && echo "run-on-gpu: expected programs of $built that run here, got: $(grep 'not found' "$build/first.log" || head -1 "$build/first.log"). Building" >&2
  if ! compile "$capability"; then
    tail -40 "$build/cmake.log" >&2
    [[ -e $out ]] || record --build "$build" --not-run "the device library was not built: $(tail -1 "$build/cmake.log")"
    exit 1
  fi
fi
echo "built after $SECONDS s"

# ---- the tests of tests/, on the GPU ----
cublaslt=$(bash "$here/bench/find-cublaslt.sh" "$python")
[[ -z ${DIFFMAVIL_CUBLASLT:-} && -n $cublaslt ]] && export DIFFMAVIL_CUBLASLT=$cublaslt
export build deadline
run_test() {
  local test=$1 started status
  started=$(date +%s%N)
  timeout -k 5 60 "$test" >"$test.log" 2>&1
  status=$?
  echo "$(basename "$test") $status $((($(date +%s%N) - started) / 1000000))" | tee -a "$build/tests.txt"
}
export -f run_test
if wants tests; then
  : >"$build/tests.txt"
  printf '%s\0' "$build"/device/gpu-*-test | xargs -0 -P "$jobs" -I{} bash -c 'run_test {}'
  record --build "$build"
  echo "tests after $SECONDS s"
fi

# ---- every op at the model's sizes: float64, and PyTorch beside it ----
checked=0
if wants bench; then
  "$python" "$here/bench/gpu_bench.py" "$build/device/libdiffmavil_cuda.so" --out "$build/bench.json" --also "$out" --minutes "$(awk "BEGIN { print $(left) / 60 }")"
  checked=$?
  smi clocks.sm,clocks.mem,temperature.gpu,power.draw >>"$build/smi.txt"
  record --build "$build"
  echo "bench after $SECONDS s"
fi

# ---- compute-sanitizer, where the machine lets it ----
# Of our own kernels: cuBLASLt has hundreds, which the sanitizer would have to prepare.
run_sanitizer() {
  local tool=$1 test=$2 status limit=$((deadline - EPOCHSECONDS - 5))
  ((limit > 120)) && limit=120
  if ((limit < 5)); then
    status=left
  else
    DIFFMAVIL_CUBLASLT=off timeout -k 5 "$limit" compute-sanitizer --tool "$tool" --error-exitcode 9 $sanitizer_options "$test" >"$test.$tool.log" 2>&1
    status=$?
  fi
  echo "$tool $(basename "$test") $status" | tee -a "$build/sanitizer.txt"
}
export -f run_sanitizer
wants sanitizer && ! command -v compute-sanitizer >/dev/null && echo "no compute-sanitizer here: left out" >&2
if wants sanitizer && command -v compute-sanitizer >/dev/null; then
  # Programs without a kernel are no error; many at once need time to connect.
  sanitizer_options=
  for option in '--require-cuda-init no' '--launch-timeout 60' '--print-limit 10' '--max-connections 128'; do
    compute-sanitizer --help 2>/dev/null | grep -q -e "${option% *}" && sanitizer_options+=" $option"
  done
  export sanitizer_options
  : >"$build/sanitizer.txt"
  for tool in memcheck racecheck synccheck initcheck; do
    printf '%s\0' "$build"/device/gpu-*-test | xargs -0 -P "$jobs" -I{} bash -c 'run_sanitizer "$0" {}' "$tool"
    record --build "$build"
    echo "$tool after $SECONDS s"
  done
fi
record --build "$build"
echo "record: $out"
[[ -e $build/tests.txt ]] && grep -qvE ' 0 [0-9]+$' "$build/tests.txt" && exit 1
exit "$checked"
