#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# planted-bugs.sh COMPILER: the test of the tests. Each line of planted-bugs.txt changes one place of a kernel; the test that covers it has to
# fail (a wrong number, a NaN, or the emulator's refusal) under at least one schedule. A place that is not there is a failure too.
set -euo pipefail
compiler=$1
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
native=$(cd "$here/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

compile() { # ROOT SOURCE OBJECT
  "$compiler" -std=c++20 -O1 -ffp-contract=off -w -I"$1" -I"$1/include" -I"$1/tests" -I"$1/cuda/tests" -x c++ -c -o "$3" "$2"
}

mkdir "$work/objects"
for source in "$native"/cuda/*.cu "$native"/cuda/core/*.cc "$native"/cuda/emulator/*.cc "$native"/core/{arguments,status}.cc; do
  compile "$native" "$source" "$work/objects/$(basename "$source").o"
done

# Fields: file in native/cuda | test | what stands there | what replaces it | the mistake, in words. \n is a line break.
while IFS='|' read -r file test find replace mistake; do
  [[ -z $file || $file == \#* ]] && continue
  rm -rf "$work/native" "$work/changed"
  mkdir -p "$work/native" "$work/changed"
  cp -r "$native/cuda" "$native/core" "$native/include" "$native/tests" "$work/native/"
  if ! FIND=$find REPLACE=$replace perl -0pi -e '
      ($f, $r) = map { s/\\n/\n/gr } @ENV{qw(FIND REPLACE)}; s/\Q$f\E/$r/ or die "not there\n"' \
    "$work/native/cuda/$file" 2>/dev/null; then
    echo "FAIL $file: '$find' is not there (planted: $mistake)"
    failed=1
    continue
  fi
  cp "$work"/objects/* "$work/changed/"
  for source in "$work"/native/cuda/*.cu; do
    if [[ $(basename "$source") == "$file" || $file == core/* ]] || grep -q "\"cuda/$file\"" "$source"; then
      compile "$work/native" "$source" "$work/changed/$(basename "$source").o"
    fi
  done
  compile "$work/native" "$work/native/cuda/tests/$test.cc" "$work/changed/test.o"
  "$compiler" -o "$work/test" "$work"/changed/*.o
  caught=0
  for order in 0 1 7; do
    DIFFMAVIL_EMULATOR_ORDER=$order timeout 120 "$work/test" >/dev/null 2>&1 || caught=1
  done
  if ((caught)); then
    echo "ok   $file: $mistake"
  else
    echo "FAIL $file: nobody noticed: $mistake"
    failed=1
  fi
done <"$here/planted-bugs.txt"
exit $failed
