#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# planted-bugs.sh COMPILER BUILD [PATTERN]: the test of the tests. Each line of planted-bugs.txt changes one place of a kernel; the test that
# covers it has to fail (a wrong number, a NaN, or the emulator's refusal) under at least one schedule. A place that is not there is a failure
# too. PATTERN chooses lines. What a change does not touch comes from the BUILD of native/cuda.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

# Plants one bug and prints the verdict. Fields: file, seen from native/cuda | test | what stands there | what replaces it | the mistake, in words.
plant() { # COMPILER BUILD LINE
  local compiler=$1 build=$2 file test find replace mistake
  IFS='|' read -r file test find replace mistake <<<"$3"
  local native work
  native=$(cd "$here/../.." && pwd)
  work=$(mktemp -d)
  trap 'rm -rf "$work"' RETURN
  mkdir "$work/native"
  cp -r "$native/cuda" "$native/core" "$native/include" "$work/native/"
  if ! FIND=$find REPLACE=$replace perl -0pi -e '
      ($f, $r) = map { s/\\n/\n/gr } @ENV{qw(FIND REPLACE)}; s/\Q$f\E/$r/ or die "not there\n"' \
    "$work/native/cuda/$file" 2>/dev/null; then
    echo "FAIL $file: '$find' is not there (planted: $mistake)"
    return
  fi
  local source objects=() stem=${test%-test} header=cuda/$file
  header=${header#cuda/../}
  local sources=("$work"/native/cuda/*.cu)
  [[ $file == *.cc ]] && sources+=("$work/native/cuda/$file")
  for source in "${sources[@]}"; do
    # What a file of core/ changes is tested through the ops of the test's own stem.
    [[ $source == "$work/native/cuda/$file" ]] || [[ $file == core/* && $(basename "$source") == "$stem.cu" ]] || grep -qE "\"($header|cuda/core/launch-${file#core/})\"" "$source" || continue
    objects+=("$source.o")
    "$compiler" -std=c++20 -O1 -ffp-contract=off -w -DDM_CUDA_EMULATED '-DDM_CUDA_ARCHITECTURES="80-real 90a-real 100-real"' -I"$work/native" -I"$work/native/include" -x c++ -c -o "$source.o" "$source" || return
  done
  "$compiler" -o "$work/test" "$build/tests/CMakeFiles/cuda-$test.dir/$test.cc.o" "${objects[@]}" "$build/libdm_cuda_emulated.a" -pthread -ldl || return
  local order
  for order in 0 1 7; do
    if ! DIFFMAVIL_EMULATOR_ORDER=$order timeout 120 "$work/test" >/dev/null 2>&1; then
      echo "ok   $file: $mistake"
      return
    fi
  done
  echo "FAIL $file: nobody noticed: $mistake"
}

if [[ ${1:-} == --plant ]]; then
  plant "$2" "$3" "$4"
  exit 0
fi
lines=$(grep -vE '^(#|$)' "$here/planted-bugs.txt" | grep -E "${3:-.}")
verdicts=$(tr '\n' '\0' <<<"$lines" | xargs -0 -P "$(nproc)" -I{} "${BASH_SOURCE[0]}" --plant "$1" "$2" {})
echo "$verdicts"
# Every line has a verdict, and every verdict is good.
[[ $(grep -c '^ok   ' <<<"$verdicts") == $(wc -l <<<"$lines") ]]
