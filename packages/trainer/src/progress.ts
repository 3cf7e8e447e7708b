// SPDX-License-Identifier: Apache-2.0
// Progress for a person: one line redrawn on a terminal, plain lines otherwise (for every tenth of the work, so logs stay short, but at
// least one a minute, so that a long run shows that it lives).

export interface ProgressOutput {
  readonly isTerminal: boolean;
  /** Writes text as it is, without a newline. */
  write(text: string): void;
}

export interface Progress {
  /** @param done Units done, 0..total. @param detail Figures to show beside the bar. */
  update(done: number, detail?: string): void;
  /** Ends the line; call once. */
  end(detail?: string): void;
}

const barWidth = 24;
const longestSilenceMs = 60_000;

/**
 * Starts a progress display.
 * @param title What is being done. @param total Units of work, 1 or more. @param now Clock in milliseconds.
 */
export function startProgress(
  output: ProgressOutput,
  title: string,
  total: number,
  now: () => number = Date.now,
): Progress {
  const start = now();
  let tenths = -1;
  let spokeAt = start;
  const line = (done: number, detail: string): string => {
    const seconds = (now() - start) / 1000;
    const left = done > 0 ? (seconds / done) * (total - done) : null;
    const time =
      left === null || done >= total
        ? `${seconds.toFixed(1)} s`
        : `${seconds.toFixed(0)} s, ${left.toFixed(0)} s left`;
    return `${title} ${done}/${total}  ${time}${detail === '' ? '' : `  ${detail}`}`;
  };
  const bar = (done: number): string => {
    const filled = Math.round((done / total) * barWidth);
    return `[${'='.repeat(filled)}${' '.repeat(barWidth - filled)}]`;
  };
  let last = { done: 0, detail: '' };
  return {
    update(done, detail = '') {
      last = { done, detail };
      if (output.isTerminal) {
        output.write(`\r\x1b[2K${bar(done)} ${line(done, detail)}`);
        return;
      }
      const reached = Math.floor((done / total) * 10);
      if (reached === tenths && now() - spokeAt < longestSilenceMs) return;
      tenths = reached;
      spokeAt = now();
      output.write(`${line(done, detail)}\n`);
    },
    end(detail = last.detail) {
      if (output.isTerminal)
        output.write(`\r\x1b[2K${bar(last.done)} ${line(last.done, detail)}\n`);
      else if (last.done < total || detail !== last.detail)
        output.write(`${line(last.done, detail)}\n`);
    },
  };
}
