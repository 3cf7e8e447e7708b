// SPDX-License-Identifier: Apache-2.0
// `diffmavil report`: one HTML file about a run.
import { writeReport } from '../report.ts';
import { parseArguments } from './arguments.ts';
import { type Command, UsageError } from './command.ts';

export const command: Command = {
  name: 'report',
  summary: 'one HTML file about a run: curves, pictures, figures, configuration',
  usage: `diffmavil report RUN

  RUN   a run folder, or a folder of run folders: each gets a section, and losses of runs of one kind are compared

Writes RUN/report.html, one file that opens without a network: loss terms, gradient norm, learning rate, clips per second, mask ratio and
batch size per epoch, evaluation figures (evaluation.json), reconstructions (pictures/*.png, see 'diffmavil reconstruct'), unreadable
clips and the configuration. Works while a run is going on. A summary.json {title, columns, rows, notes} in RUN is put on top.`,
  async run(args, context) {
    const { positionals } = parseArguments(args, {});
    const [run, ...others] = positionals;
    if (run === undefined || others.length > 0) {
      throw new UsageError(`expected one run folder, got ${positionals.length}`);
    }
    const file = writeReport(run);
    context.stdout(`${file}: open it in a browser.`);
    return 0;
  },
};
