// SPDX-License-Identifier: Apache-2.0
// `diffmavil retrieve`: how well sound finds its own video in a data set, or the clips that match one query best.
import { resolve } from 'node:path';
import { MediaError } from '@diffmavil/media';
import { audioToVideoRetrieval, embedClips } from '../evaluate.ts';
import { dataClips } from '../data/dataset.ts';
import { dot, unit } from '../metrics.ts';
import { modelFolderOf } from '../run-folder.ts';
import { numberOption, parseArguments, required } from './arguments.ts';
import { useBackend } from './backend.ts';
import type { Command } from './command.ts';
import {
  backendOf,
  evaluationData,
  evaluationKinds,
  evaluationUsage,
} from './evaluation-options.ts';

export const command: Command = {
  name: 'retrieve',
  summary: 'audio-to-video retrieval: R@1/5/10, or the best matches of one clip',
  usage: `diffmavil retrieve --model RUN|FOLDER --data DIR|MANIFEST [--query FILE] [--top N] [--json]

  --model     a pre-training run of audio and video, or its model folder
  --query     a clip whose sound to search with; without it, every clip's sound searches all videos
  --top       matches shown for a query; default 5
${evaluationUsage}`,
  async run(args, context) {
    const { options } = parseArguments(args, {
      ...evaluationKinds,
      model: 'string',
      query: 'string',
      top: 'string',
    });
    const folder = modelFolderOf(required(options.model, 'model'));
    const data = evaluationData(options, context);
    const top = numberOption(options.top, 'top', 5, { min: 1, max: 1e6, integer: true });
    await useBackend(backendOf(options));
    const { embeddings, badClips } = await embedClips(folder, { ...data, clips: dataClips(data) });
    for (const [id, reason] of Object.entries(badClips))
      context.stderr(`left out ${id}: ${reason}`);
    if (options.query === undefined) {
      const metrics = audioToVideoRetrieval(embeddings);
      const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;
      const { recallAt1, recallAt5, recallAt10, medianRank, chance } = metrics;
      context.stdout(
        options.json
          ? JSON.stringify({ clips: embeddings.length, ...metrics })
          : `${embeddings.length} clips: R@1 ${percent(recallAt1)} (chance ${percent(chance)}), R@5 ${percent(recallAt5)}, R@10 ${percent(recallAt10)}, median rank ${medianRank}`,
      );
      return 0;
    }
    const query = { id: options.query, path: resolve(options.query), labels: [], split: null };
    const found = await embedClips(folder, { ...data, clips: [query] });
    const sound = found.embeddings[0]?.audio;
    if (sound == null)
      throw new MediaError(
        'no-audio',
        options.query,
        `${options.query}: expected a clip with sound, got ${found.badClips[options.query] ?? 'a model without audio'}`,
      );
    const matches = embeddings
      .flatMap(({ clip, video }) =>
        video === null ? [] : [{ clip: clip.id, similarity: dot(unit(sound), unit(video)) }],
      )
      .sort((a, b) => b.similarity - a.similarity)
      .slice(0, top);
    if (options.json) context.stdout(JSON.stringify(matches));
    else
      for (const { clip, similarity } of matches)
        context.stdout(`${similarity.toFixed(4)}  ${clip}`);
    return 0;
  },
};
