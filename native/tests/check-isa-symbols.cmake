# SPDX-License-Identifier: Apache-2.0
# Fails when an object of cpu/simd defines a weak symbol: the linker may pick that copy, compiled for a newer processor, for the
# whole program. OBJECTS: paths, separated by commas. NM: the program.
string(REPLACE "," ";" objects "${OBJECTS}")
set(count 0)
foreach(object IN LISTS objects)
  execute_process(COMMAND ${NM} --defined-only ${object} OUTPUT_VARIABLE symbols COMMAND_ERROR_IS_FATAL ANY)
  string(REGEX MATCHALL "[^\n]* [WwVvu] [^\n]*" weak "${symbols}")
  if(weak)
    string(JOIN "\n  " lines ${weak})
    message(FATAL_ERROR "${object}: expected no weak symbols, got\n  ${lines}")
  endif()
  math(EXPR count "${count} + 1")
endforeach()
if(count EQUAL 0)
  message(FATAL_ERROR "expected objects to check, got none")
endif()
message(STATUS "${count} objects without weak symbols")
