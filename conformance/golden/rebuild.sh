#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Rebuilds every golden fixture from its reference program, away from the committed ones, and compares.
#   rebuild.sh           compare; exit 1 when a fixture does not land within its tolerance
#   rebuild.sh --write   replace the committed fixtures that changed, and their hashes
#   rebuild.sh --hashes  write fixtures.sha256 for the fixtures as they are; runs no program
# The virtual environment and the rebuilt files live in .cache/golden. PYTHON chooses the interpreter (3.11 or later).
set -euo pipefail

golden=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=$(cd "$golden/../.." && pwd)/.cache/golden
mode=${1:-compare}

write_hashes() {
  (cd "$golden/fixtures" && find . -type f | LC_ALL=C sort | sed 's|^\./||' | xargs sha256sum) >"$golden/fixtures.sha256"
}

case $mode in
  compare | --write) ;;
  --hashes) write_hashes && exit 0 ;;
  *) echo "usage: rebuild.sh [--write | --hashes]" >&2 && exit 2 ;;
esac

mkdir -p "$cache"
if ! cmp -s "$golden/requirements.txt" "$cache/installed.txt"; then
  "${PYTHON:-python3}" -m venv --clear "$cache/venv"
  "$cache/venv/bin/pip" install --quiet --disable-pip-version-check -r "$golden/requirements.txt"
  cp "$golden/requirements.txt" "$cache/installed.txt"
fi

# Programs write to the folder fixtures/ beside themselves, so a copy of them writes elsewhere.
rm -rf "$cache/rebuilt"
mkdir -p "$cache/rebuilt"
cp "$golden"/*.py "$cache/rebuilt/"
for program in "$cache/rebuilt"/*.py; do
  echo "$(basename "$program")"
  OMP_NUM_THREADS=1 "$cache/venv/bin/python" "$program"
done

if [[ $mode == --write ]]; then
  if ! "$cache/venv/bin/python" "$golden/tools/compare_fixtures.py" "$golden/fixtures" "$cache/rebuilt/fixtures"; then
    rm -rf "$golden/fixtures"
    cp -r "$cache/rebuilt/fixtures" "$golden/fixtures"
  fi
  write_hashes
else
  "$cache/venv/bin/python" "$golden/tools/compare_fixtures.py" "$golden/fixtures" "$cache/rebuilt/fixtures"
fi
