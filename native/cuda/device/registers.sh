#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# registers.sh check BUILD   compares registers and spills of every kernel with registers.txt; exit 1 when one has more, or is new or gone
# registers.sh write BUILD   writes registers.txt from the build
# Lines: architecture, registers, bytes of spill stores and loads, kernel.
set -euo pipefail
table=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/registers.txt

report() {
  find "$1" -name '*.ptxas' -exec cat {} + | c++filt | awk '
    /Compiling entry function/ {
      split($0, quoted, "\047"); kernel = quoted[2]; arch = quoted[4]
      sub(/^void /, "", kernel); sub(/\([^()]*\)$/, "", kernel); gsub(/dm::cuda::/, "", kernel) }
    /bytes stack frame/ { spill = $5 + $9 }
    /Used [0-9]+ registers/ { match($0, /Used [0-9]+/); print arch, substr($0, RSTART + 5, RLENGTH - 5), spill, kernel }' |
    LC_ALL=C sort -k4 -k1,1 | uniq
}

case $1 in
  write) report "$2" >"$table" ;;
  check)
    report "$2" | awk -v table="$table" '
      function key() { name = $0; sub(/^[^ ]+ [^ ]+ [^ ]+ /, "", name); return $1 " " name }
      BEGIN { while ((getline < table) > 0) { known[key()] = $2 + 1; spill[key()] = $3 } }
      { k = key()
        if (!(k in known)) { print "new kernel " k; bad = 1 }
        else if ($2 + 1 > known[k] || $3 > spill[k]) { print k ": " $2 " registers, " $3 " bytes of spills; the table has " known[k] - 1 ", " spill[k]; bad = 1 }
        seen[k] = 1 }
      END { for (k in known) if (!(k in seen)) { print "gone: " k; bad = 1 }
        if (bad) { print "Try: device/registers.sh write BUILD, and read the difference"; exit 1 } }'
    ;;
esac
