// SPDX-License-Identifier: Apache-2.0
// What a command of `diffmavil` is.

/** Where a command prints and whether a person watches. */
export interface CommandContext {
  stdout: (line: string) => void;
  stderr: (line: string) => void;
  readonly isTerminal: boolean;
}

export interface Command {
  readonly name: string;
  /** One line for the list of commands. */
  readonly summary: string;
  /** Full help: usage line, options, examples. */
  readonly usage: string;
  /** @returns The exit code: 0, 1 (failed) or 2 (bad usage). Expected errors may be thrown: they carry a `kind`. */
  run(args: string[], context: CommandContext): Promise<number>;
}

/** Wrong arguments: printed with the command's usage line, exit code 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}
