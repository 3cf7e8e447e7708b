// SPDX-License-Identifier: Apache-2.0
// `diffmavil demo-data`: labelled clips from nothing.
import { fold, makeKey, uniformStream } from '@diffmavil/core';
import { demoLabels, writeDemoClips } from '@diffmavil/media';
import { startProgress } from '../progress.ts';
import { numberOption, parseArguments, required } from './arguments.ts';
import type { Command } from './command.ts';
import { abortOnSignals, progressOutput } from './output.ts';

export const command: Command = {
  name: 'demo-data',
  summary: 'write labelled clips (mp4 with sound) made from nothing',
  usage: `diffmavil demo-data --out DIR [--clips N] [--seed N]

  --out DIR   folder to write; complete clips already there are kept
  --clips N   how many, default 64: ${demoLabels.length} classes in turn (${demoLabels.join(', ')})
  --seed N    another seed, other clips; default 0

Writes DIR/labels.csv with the columns file,label,split; a quarter of each class is the test split.`,
  async run(args, context) {
    const { options } = parseArguments(args, { out: 'string', clips: 'string', seed: 'string' });
    const folder = required(options.out, 'out');
    const clips = numberOption(options.clips, 'clips', 64, { min: 1, max: 100_000, integer: true });
    const seed = numberOption(options.seed, 'seed', 0, { min: 0, max: 0xffffffff, integer: true });
    const key = makeKey(seed);
    const progress = startProgress(progressOutput(context), 'demo clips', clips);
    const written = await writeDemoClips({
      folder,
      clips,
      uniforms: (clip) => uniformStream(fold(key, 'demo-clip', clip)),
      onProgress: (done) => progress.update(done),
      signal: abortOnSignals(context),
    });
    progress.end();
    context.stdout(
      `${folder}: ${written.length} clips of ${demoLabels.length} classes. Next: diffmavil pretrain --config tiny --data ${folder} --out runs/demo`,
    );
    return 0;
  },
};
