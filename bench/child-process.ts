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
    this.#child.stdin!.on('error', () => {}); // so does a process that ended before it was asked
    this.#lines = createInterface({ input: this.#child.stdout! })[Symbol.asyncIterator]();
  }

  /**
   * Sends a line, if there is anything to send, and waits for the answer.
   *
   * @param limitMs After that long the process is killed.
   * @throws BenchError when the answer is an error, or there is none.
   */
  async ask<Reply>(request?: object, limitMs: number = Infinity): Promise<Reply> {
    if (request !== undefined) this.#child.stdin!.write(`${JSON.stringify(request)}\n`);
    let late = false;
    const kill = (): void => {
      late = true;
      this.#child.kill('SIGKILL');
    };
    // A longer wait than setTimeout knows is as good as none.
    const timer = limitMs < 2 ** 31 ? setTimeout(kill, limitMs) : undefined;
    try {
      return await this.#answer<Reply>();
    } catch (error) {
      if (!late) throw error;
      const seconds = Math.round(limitMs / 1000);
      throw new BenchError(
        `${this.#name}: expected an answer within ${seconds} s, got none and killed the process`,
        { cause: error },
      );
    } finally {
      clearTimeout(timer);
    }
  }

  async #answer<Reply>(): Promise<Reply> {
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

  /** Closes its input and waits for its end; one that does not end in a minute is killed. */
  async stop(): Promise<void> {
    this.#child.stdin!.end();
    const { exitCode, signalCode, pid } = this.#child;
    if (exitCode === null && signalCode === null && pid !== undefined) {
      const timer = setTimeout(() => this.#child.kill('SIGKILL'), 60_000);
      await once(this.#child, 'exit');
      clearTimeout(timer);
    }
  }
}
