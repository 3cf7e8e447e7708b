// SPDX-License-Identifier: Apache-2.0
// Runs one child process to its end: pipes in and out, a time limit, an abort signal, counted error lines.
// It reports how the process ended and never judges it; the callers check counts, not exit codes.

import { spawn, type ChildProcess } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';

import { MediaError } from './media-error.ts';

export interface ProgramOutput {
  /** File descriptor in the child: 1, 3, 4, … */
  readonly fd: number;
  /** Takes one chunk; false means enough: the process is then killed. */
  readonly accept: (chunk: Buffer) => boolean;
}

export interface ProgramInput {
  /** File descriptor in the child: 0, 3, 4, … */
  readonly fd: number;
  readonly bytes: Uint8Array;
}

export interface ProgramEnd {
  readonly exitCode: number | null;
  /** The signal that ended it, when it was not us who sent it. */
  readonly foreignSignal: string | null;
  /** Who stopped it, when we did. */
  readonly stopped: 'timeout' | 'aborted' | 'enough' | null;
  /** Lines written to stderr. */
  readonly errorLines: number;
  /** The last of stderr, at most 2,000 characters. */
  readonly errorText: string;
}

export interface RunOptions {
  readonly outputs?: readonly ProgramOutput[];
  readonly inputs?: readonly ProgramInput[];
  /** Milliseconds of wall clock, > 0. */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

const errorTextLimit = 2000;

/**
 * Starts `program` and resolves when it has ended and its pipes are closed. Rejects only when it cannot be started
 * (MediaError `ffmpeg-missing`). A kill is SIGKILL and closes our ends of the pipes, so a child that left
 * grandchildren holding them cannot keep us waiting.
 */
export function runProgram(
  program: string,
  args: readonly string[],
  options: RunOptions,
): Promise<ProgramEnd> {
  const { outputs = [], inputs = [], timeoutMs, signal } = options;
  if (signal?.aborted) {
    return Promise.resolve({ ...nothingRan, stopped: 'aborted' });
  }
  const child = start(program, args, [2, ...[...outputs, ...inputs].map(({ fd }) => fd)]);

  return new Promise((resolve, reject) => {
    let stopped: ProgramEnd['stopped'] = null;
    const stop = (why: 'timeout' | 'aborted' | 'enough'): void => {
      stopped ??= why;
      child.kill('SIGKILL');
      for (const stream of child.stdio) stream?.destroy();
    };
    const timer = setTimeout(() => stop('timeout'), timeoutMs);
    const onAbort = (): void => stop('aborted');
    signal?.addEventListener('abort', onAbort, { once: true });
    const release = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
    };

    for (const { fd, accept } of outputs) {
      readable(child, fd).on('data', (chunk: Buffer) => {
        if (stopped === null && !accept(chunk)) stop('enough');
      });
    }
    for (const { fd, bytes } of inputs) {
      const pipe = child.stdio[fd] as Writable;
      pipe.on('error', () => {}); // the child closed it early: its end tells why
      pipe.end(bytes);
    }
    const errors = collectErrors(readable(child, 2));

    child.on('error', (error: NodeJS.ErrnoException) => {
      if (child.pid !== undefined) return; // it ran; `close` follows
      release();
      reject(notStarted(program, error));
    });
    child.on('close', (exitCode, exitSignal) => {
      release();
      const foreignSignal = stopped === null ? exitSignal : null;
      resolve({ exitCode, foreignSignal, stopped, ...errors() });
    });
  });
}

const nothingRan: ProgramEnd = {
  exitCode: null,
  foreignSignal: null,
  stopped: null,
  errorLines: 0,
  errorText: '',
};

/** The child with a pipe at each of these descriptors, and nothing at the others below the highest. */
function start(program: string, args: readonly string[], piped: readonly number[]): ChildProcess {
  const stdio = Array.from({ length: Math.max(...piped) + 1 }, (_, fd) =>
    piped.includes(fd) ? 'pipe' : 'ignore',
  );
  // A process group of its own: Ctrl-C is for the caller, who decides what becomes of the child. Should the caller
  // die, its pipes close and the child ends on its next write.
  return spawn(program, args, { stdio, windowsHide: true, detached: true });
}

function notStarted(program: string, error: NodeJS.ErrnoException): MediaError {
  return new MediaError(
    'ffmpeg-missing',
    program,
    `runProgram: expected to start "${program}", got ${error.code ?? error.message}. ` +
      'Try: apt install ffmpeg, brew install ffmpeg, or set DIFFMAVIL_FFMPEG to its path.',
  );
}

function readable(child: ChildProcess, fd: number): Readable {
  const stream = child.stdio[fd] as Readable;
  stream.on('error', () => {}); // a reset pipe ends the stream; the counts tell what is missing
  return stream;
}

/** Counts lines and keeps the tail, so a file with a million faults costs no memory. */
function collectErrors(stream: Readable): () => Pick<ProgramEnd, 'errorLines' | 'errorText'> {
  let lines = 0;
  let text = '';
  stream.setEncoding('utf8');
  stream.on('data', (chunk: string) => {
    for (const character of chunk) if (character === '\n') lines++;
    text = (text + chunk).slice(-errorTextLimit);
  });
  return () => ({
    errorLines: lines + (text !== '' && !text.endsWith('\n') ? 1 : 0),
    errorText: text.trim(),
  });
}
