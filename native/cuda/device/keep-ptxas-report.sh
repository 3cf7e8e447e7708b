#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# keep-ptxas-report.sh NVCC ARGUMENTS...: compiles, and puts what ptxas says of registers and spills beside the object, as OBJECT.ptxas.
set -uo pipefail
object=
for ((i = 1; i <= $#; ++i)); do
  if [[ ${!i} == -o ]]; then
    next=$((i + 1))
    object=${!next}
  fi
done
"$@" 2>"$object.log"
status=$?
# The report's lines, and what the rest says to a person.
grep -E '^ptxas|bytes stack frame' "$object.log" >"$object.ptxas"
grep -vE '^ptxas|bytes stack frame|^$' "$object.log" >&2
rm -f "$object.log"
exit $status
