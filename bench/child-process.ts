// SPDX-License-Identifier: Apache-2.0
// A process that answers one JSON line with another, and stays alive in between.
import { BenchError } from './bench-error.ts';
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

export class LineProcess {
  readonly #name: string;
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  /** Starts a program; its error stream is ours. */
  constructor(name: string, program: string, args: readonly string[], env: NodeJS.ProcessEnv) {
    this.#name = name;
    this.#child = spawn(program, args, { env, stdio: ['pipe', 'pipe', 'inherit'] });
    this.#child.on('error', () => {}); // shows as the end of its output
    this.#lines = createInterface({ input: this.#child.stdout! })[Symbol.asyncIterator]();
  }

  /** Sends a line, if there is anything to send, and waits for the answer. Throws BenchError when it is an error or none. */
  async ask<Reply>(request?: object): Promise<Reply> {
    if (request !== undefined) this.#child.stdin!.write(`${JSON.stringify(request)}\n`);
    for (;;) {
      const { value, done } = await this.#lines.next();
      if (done === true) {
        throw new BenchError(`${this.#name}: expected an answer, got the end of the process`);
      }
      if (!value.startsWith('{')) continue; // something a library printed
      const reply = JSON.parse(value) as Reply & { error?: string };
      if (reply.error !== undefined) throw new BenchError(`${this.#name}: ${reply.error}`);
      return reply;
    }
  }

  /** Closes its input and waits for its end. */
  async stop(): Promise<void> {
    this.#child.stdin!.end();
    if (this.#child.exitCode === null && this.#child.pid !== undefined) {
      await once(this.#child, 'exit');
    }
  }
}
