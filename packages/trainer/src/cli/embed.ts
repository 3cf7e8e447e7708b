// SPDX-License-Identifier: Apache-2.0
// `diffmavil embed`: clips to vectors.
import { resolve } from 'node:path';
import { writeSafetensors } from '@diffmavil/model';
import { writeFileAtomically } from '../atomic-folder.ts';
import { type ClipEmbedding, embedClips } from '../evaluate.ts';
import { modelFolderOf } from '../run-folder.ts';
import { numberOption, parseArguments, required } from './arguments.ts';
import { backendNames, useBackend } from './backend.ts';
import { type Command, UsageError } from './command.ts';
import { backendOf } from './evaluation-options.ts';
import { progressOutput } from './output.ts';

export const command: Command = {
  name: 'embed',
  summary: 'embed clips into vectors (safetensors)',
  usage: `diffmavil embed --model RUN|FOLDER FILE… --out E.safetensors [--workers N] [--backend NAME]

  --model     a pre-training run, or its model folder
  FILE…       clips
  --out       safetensors with audio.embedding and video.embedding, [clips, width] each, mean-pooled encoder outputs;
              the clips' names, in order, are its metadata entry 'clips'
  --backend   ${backendNames.join(', ')}; default auto`,
  async run(args, context) {
    const { options, positionals } = parseArguments(args, {
      model: 'string',
      out: 'string',
      workers: 'string',
      backend: 'string',
    });
    const folder = modelFolderOf(required(options.model, 'model'));
    const out = required(options.out, 'out');
    if (positionals.length === 0) throw new UsageError('expected at least one clip, got none');
    await useBackend(backendOf(options));
    const { embeddings, badClips } = await embedClips(folder, {
      clips: positionals.map((path) => ({
        id: path,
        path: resolve(path),
        labels: [],
        split: null,
      })),
      workers: numberOption(options.workers, 'workers', 1, { min: 1, max: 64, integer: true }),
      cacheFolder: null,
      maxClipSeconds: 10,
      batch: 8,
      output: progressOutput(context),
    });
    writeFileAtomically(
      out,
      writeSafetensors(stack(embeddings), {
        clips: JSON.stringify(embeddings.map(({ clip }) => clip.id)),
      }),
    );
    for (const [id, reason] of Object.entries(badClips)) context.stderr(`${id}: ${reason}`);
    context.stdout(
      `${out}: ${embeddings.length} clips embedded, ${Object.keys(badClips).length} unreadable`,
    );
    return Object.keys(badClips).length === 0 ? 0 : 1;
  },
};

function stack(embeddings: readonly ClipEmbedding[]): Parameters<typeof writeSafetensors>[0] {
  const present = (['audio', 'video'] as const).filter(
    (modality) => embeddings[0]?.[modality] != null,
  );
  return Object.fromEntries(
    present.map((modality) => {
      const rows = embeddings.map((embedding) => embedding[modality]!);
      const data = new Float32Array(rows.flatMap((row) => [...row]));
      return [
        `${modality}.embedding`,
        { dtype: 'F32', shape: [rows.length, rows[0]!.length], data },
      ] as const;
    }),
  );
}
