#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# run-node-suites-on-gpu.sh [--out RECORD.json] [--emulated] [--suites specs,parity,repeat,training,compare] [--minutes 9.5] [options]: the backend
# diffmavil-cuda on a GPU, into one JSON record; docs/cuda.md says what each suite is. In a checkout it packs the suites first (npm run pack:gpu); in
# the packed folder it needs a driver alone: Node is unpacked beside it by Python or xz, the device library is built by nvcc and CMake when it was not
# packed, and PyTorch's side runs where PYTHON (default python3) has it. What does not run has a row 'not run' with its reason; nothing else is claimed.
# --emulated runs all of it over the emulated device with tiny sizes, to show that it runs. More options: --presets, --precisions, --batches,
# --mask-ratios, --steps, --rounds. RECORD.json is bench/results/<day>-gpu-suites.json in a checkout, gpu-suites.json elsewhere; a second run of the same
# commit on the same device adds to it.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
fail() { echo "run-node-suites-on-gpu: $1" >&2 && exit 2; }

out= emulated=no backend=diffmavil-cuda minutes=9.5
arguments=()
while (($#)); do
  case $1 in
    --minutes) minutes=$2 && shift 2 ;;
    --out)
      [[ $2 == /* ]] && out=$2 || out=$PWD/$2
      shift 2
      ;;
    --emulated) emulated=yes && arguments+=("$1") && shift ;;
    --backend) backend=$2 && shift 2 ;;
    --suites | --presets | --precisions | --batches | --mask-ratios | --steps | --rounds)
      arguments+=("$1" "$2") && shift 2 ;;
    *) sed -n '3,10s/^# //p' "${BASH_SOURCE[0]}" >&2 && exit 2 ;;
  esac
done

# ---- the packed folder: this one, or what this checkout packs ----
pack=$(dirname "$here")
if [[ -f $pack/pack.json ]]; then
  out=${out:-$PWD/gpu-suites.json}
else
  out=${out:-$pack/bench/results/$(date +%F)-gpu-suites.json}
  pack=$here/build-gpu-pack
  said=$(node "$here/scripts/pack-gpu.mjs" --out "$pack" --backend "$backend" --without-node 2>&1) ||
    fail "expected to pack the suites, got: $said"
fi
mkdir -p "$(dirname "$out")"
cd "$pack" || exit 2

# ---- Node: what is there, or what was packed ----
python=${PYTHON:-$(command -v python3 || true)}
unpack() {
  if command -v xz >/dev/null; then
    xz -dc "$1" >"$2"
  else
    "$python" -c 'import lzma, shutil, sys; shutil.copyfileobj(lzma.open(sys.argv[1]), sys.stdout.buffer)' "$1" >"$2"
  fi
}
node=$(command -v node || true)
if [[ -z $node || $("$node" -p 'Number(process.versions.node.split(".")[0]) >= 20') != true ]]; then
  node=${TMPDIR:-/tmp}/diffmavil-node-$(id -u)-$(cut -d' ' -f1 node.version)
  if [[ ! -x $node ]]; then
    [[ -f node.xz ]] || fail "expected Node 20 or newer, got none, and none was packed"
    unpack node.xz "$node.part" || fail "expected to unpack node.xz with xz or Python, got an error"
    chmod +x "$node.part" && mv "$node.part" "$node"
  fi
fi
export DIFFMAVIL_BENCH_PYTHON=${DIFFMAVIL_BENCH_PYTHON:-${python:-python3}}
# The minutes are counted from the start of this script.
run() {
  local left
  left=$(awk -v minutes="$minutes" -v gone="$SECONDS" 'BEGIN { left = minutes - gone / 60; print (left > 0.02 ? left : 0.02) }')
  "$node" bench/gpu/main.js --out "$out" --backend "$backend" --minutes "$left" "${arguments[@]}" "$@"
}

# ---- the device library ----
if [[ $backend != diffmavil-cuda ]]; then
  : # as the addon comes
elif [[ $emulated == yes ]]; then
  library=native/build-cuda/libdiffmavil_cuda_emulated.so
  [[ -f $library ]] || fail "expected $library, got none. Try: npm run build:cuda, then npm run pack:gpu"
  export DIFFMAVIL_CUDA=require DIFFMAVIL_CUDA_PATH=$pack/$library
else
  capability=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null | head -1 | tr -d .)
  if [[ -z $capability ]]; then
    run --not-run "no GPU and driver on this machine"
    exit 1
  fi
  library=$pack/native/build-cuda/device/libdiffmavil_cuda.so
  [[ ! -f $library && -f $library.xz ]] && unpack "$library.xz" "$library.part" && mv "$library.part" "$library"
  if [[ ! -f $library ]]; then
    # Built for this GPU alone, which takes a few minutes; kept for the next call.
    [[ $capability == 90 || $capability == 100 ]] && capability+=a
    build=$pack/build/cuda
    library=$build/device/libdiffmavil_cuda.so
    mkdir -p "$build"
    command -v nvcc >/dev/null || PATH=$PATH:/usr/local/cuda/bin
    cmake -S native/cuda -B "$build" -DDIFFMAVIL_CUDA=ON -DDIFFMAVIL_CUDA_ARCHITECTURES="$capability-real" >"$build/log" 2>&1 &&
      cmake --build "$build" --parallel "$(nproc)" --target diffmavil_cuda >>"$build/log" 2>&1
    if [[ ! -f $library ]]; then
      tail -20 "$build/log" >&2
      run --not-run "no device library was packed, and CMake and nvcc did not build it: $(tail -1 "$build/log")"
      exit 1
    fi
  fi
  export DIFFMAVIL_CUDA=require DIFFMAVIL_CUDA_PATH=$library
  cublaslt=$(bash native/cuda/bench/find-cublaslt.sh "$python")
  [[ -z ${DIFFMAVIL_CUBLASLT:-} && -n $cublaslt ]] && export DIFFMAVIL_CUBLASLT=$cublaslt
fi
run
