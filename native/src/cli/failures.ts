// SPDX-License-Identifier: Apache-2.0
// What stops a build, as one sentence: known from what CMake and the compiler print, or from the error code of a file operation.
import { DeviceError } from '@diffmavil/core';

interface Cause {
  readonly pattern: RegExp;
  /** `$1`, `$2`: groups of the pattern; `$room`: what the build takes on the disk. */
  readonly sentence: string;
}

const causes: readonly Cause[] = [
  {
    pattern: /No space left on device/,
    sentence: 'enough room for about $room, got a full disk. Try: XDG_CACHE_HOME=<another folder>',
  },
  {
    pattern: /CMake (\d+\.\d+)\S* or higher is required\.\s+You are running version (\S+)/,
    sentence: 'CMake $1 or newer, got $2. Try: a newer one, first on PATH',
  },
  {
    pattern: /CMAKE_MAKE_PROGRAM is not set|unable to find a build program/,
    sentence: 'make or ninja, got neither. Try: apt-get install make',
  },
  {
    pattern:
      /No CMAKE_CXX_COMPILER could be found|Could not find compiler set in environment variable|not a full path to an existing compiler|not able to compile a simple test program/,
    sentence: 'a C++20 compiler, got none that works. Try: apt-get install g++, or CXX=<another>',
  },
  {
    pattern: /unsupported GNU version! gcc versions later than (\d+)|unsupported clang version!/,
    sentence:
      'a host compiler that nvcc knows, got a newer one. Try: CUDAHOSTCXX=<an older g++>, or a newer CUDA toolkit',
  },
  {
    pattern: /nvcc fatal\s*: Unsupported gpu architecture 'compute_(\w+)'/,
    sentence:
      "an nvcc that knows compute capability $1, got an older one. Try: --arch <the GPU's own>, or CUDACXX=<a newer nvcc>",
  },
  {
    pattern: /Could NOT find CUDAToolkit|No CMAKE_CUDA_COMPILER could be found/,
    sentence:
      "NVIDIA's CUDA toolkit around nvcc, got none. Try: CUDACXX=<the nvcc of a whole toolkit>",
  },
  {
    pattern: /dialect "CXX20"|unrecognized command[ -]line option ['‘"]?-std=c\+\+20/,
    sentence: 'a compiler that knows C++20, got an older one. Try: CXX=<a newer one>',
  },
  {
    pattern: /Killed signal terminated program|: Killed\b/,
    sentence:
      'enough memory, got a compiler that was killed. Try: CMAKE_BUILD_PARALLEL_LEVEL=1 npx diffmavil-native build',
  },
];

/** A step of CMake that failed. */
export interface FailedStep {
  readonly output: string;
  readonly step: string;
  readonly code: number | string;
  /** The file that holds everything it printed. */
  readonly log: string;
  /** What the build takes on the disk. */
  readonly room: string;
}

/** The error for a step of CMake that failed. */
export function explainOutput({ output, step, code, log, room }: FailedStep): DeviceError {
  for (const { pattern, sentence } of causes) {
    const match = pattern.exec(output);
    if (match === null) continue;
    const filled = sentence
      .replace('$room', room)
      .replace(/\$(\d)/g, (_, group: string) => match[Number(group)] ?? '');
    return new DeviceError(`build: expected ${filled}`);
  }
  const first =
    /^CMake Error.*:\n\s*(\S.*)$/m.exec(output)?.[1] ??
    /^.*\berror\b.*$/im.exec(output)?.[0].trim();
  const line = first === undefined ? '' : `: ${first}`;
  return new DeviceError(
    `build: expected cmake to ${step}, got ${typeof code === 'number' ? 'exit code ' : ''}${code}${line}. Try: read ${log}`,
  );
}

/** The error for a file operation, or the error itself when it is none. */
export function explainFileError(error: unknown, folder: string, room: string): unknown {
  const { code, syscall, message } = error as NodeJS.ErrnoException;
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    const sentence = causes[0]!.sentence
      .replace('room', `room in ${folder}`)
      .replace('$room', room);
    return new DeviceError(`build: expected ${sentence}`, { cause: error });
  }
  if (typeof code !== 'string' || typeof syscall !== 'string') return error;
  return new DeviceError(
    `build: expected to write to ${folder}, got ${message}. Try: XDG_CACHE_HOME=<another folder>`,
    { cause: error },
  );
}
