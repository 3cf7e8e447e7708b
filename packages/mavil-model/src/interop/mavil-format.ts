// SPDX-License-Identifier: Apache-2.0
// MAViL as its inference copy in the audio-visual SUPERB benchmark names it, pre-trained and fine-tuned.
import type { Modality } from '../config.ts';
import { added, splitTable, tubeletKernel } from './arrays.ts';
import { mapBlocks, MappedWeights, mlpRatioOf } from './blocks.ts';
import type { ForeignWeights } from './foreign-weights.ts';
import { mapHead } from './heads.ts';
import { joined, wanted, withoutContrast } from './mapping.ts';
import type { Format, InputSections } from './mapping.ts';
import { audioSize, encoderHeads, numberIn } from './sizes.ts';
import { audioKernel } from './vit-positions.ts';

/** Class tokens, no norms around the fusion [MAViL §3.1]. */
export const mavil: Format = {
  name: 'a MAViL (inference copy)',
  recognize: (weights) =>
    weights.has('patch_embed.proj.weight') && weights.has('patch_embed_v.proj.weight'),
  map(weights, options) {
    const mapped = new MappedWeights();
    const present = wanted(options);
    const sections = present.map((m) => mapMavilEncoder(weights, m, mapped));
    const both = present.length === 2;
    const depth = weights.count('blocks_av');
    if (both && depth > 0) mapBlocks(weights, 'blocks_av', mapped, 'fusion.blocks');
    const classes = mapMavilHeads(weights, present, mapped);
    // What serves the modality that is not wanted.
    weights.ignore('blocks_av.', 'fc_norm_av.', 'head_av.');
    if (!both) ignoreOther(weights, present[0] === 'audio');
    const width = weights.shapeOf('patch_embed.proj.weight')[0] ?? 0;
    const module = `${present[0]}_encoder`;
    return {
      weights: mapped,
      classes,
      config: {
        ...joined(sections),
        encoder: {
          width,
          depth: weights.count(present[0] === 'audio' ? 'blocks' : 'blocks_v'),
          heads: encoderHeads(weights, width),
          mlpRatio: mlpRatioOf(mapped, `${module}.blocks.0`),
          classToken: true,
          finalNorm: false,
          positions: 'learned',
          normEpsilon: 1e-6,
        },
        fusion: both && depth > 0 ? { kind: 'joint', depth, finalNorm: false } : { kind: 'none' },
        decoder: { audioAttention: 'global', videoAttention: 'self' },
        masked: { kind: 'mask-token' },
        ...(both ? {} : { loss: withoutContrast }),
      },
    };
  },
};

function ignoreOther(weights: ForeignWeights, keptAudio: boolean): void {
  const end = keptAudio ? '_v' : '';
  weights.ignore(`patch_embed${end}.`, `cls_token${end}`, `pos_embed${end}`, `blocks${end}.`);
  const letter = keptAudio ? 'v' : 'a';
  weights.ignore(`fc_norm_${letter}.`, `head_${letter}.`);
}

function mapMavilEncoder(
  weights: ForeignWeights,
  modality: Modality,
  mapped: MappedWeights,
): InputSections {
  const end = modality === 'audio' ? '' : '_v';
  const module = `${modality}_encoder`;
  const kernel = weights.take(`patch_embed${end}.proj.weight`, modality === 'audio' ? 4 : 5);
  const linear = modality === 'audio' ? audioKernel(kernel, false) : tubeletKernel(kernel);
  mapped.set(`${module}.patch_embed.weight`, linear);
  mapped.set(`${module}.patch_embed.bias`, weights.take(`patch_embed${end}.proj.bias`, 1));
  const { first, rest } = splitTable(weights.take(`pos_embed${end}`, 3), 1);
  mapped.set(`${module}.cls_token`, added(weights.take(`cls_token${end}`, 3), first));
  mapped.set(`${module}.positions`, rest);
  mapBlocks(weights, `blocks${end}`, mapped, `${module}.blocks`);
  const tokens = rest.shape[1] ?? 0;
  const patch = kernel.shape.at(-1) ?? 16;
  if (modality === 'audio') {
    const { frames, mels } = audioSize(weights, tokens, patch, patch);
    return { audio: { frames, mels, patch } };
  }
  const size = numberIn(weights, 'image_size') ?? 224;
  const times = tokens / (size / patch) ** 2;
  if (!Number.isInteger(times)) {
    weights.fail(`video positions of pictures of ${size} pixels ("image_size")`, `${tokens}`);
  }
  const tubelet = kernel.shape[2] ?? 1;
  return { video: { frames: times * tubelet, size, tubelet, patch } };
}

/** Heads on each modality's mean, or on both means side by side behind the fusion. */
function mapMavilHeads(
  weights: ForeignWeights,
  present: readonly Modality[],
  mapped: MappedWeights,
): number | null {
  let classes: number | null = null;
  for (const modality of present) {
    const letter = modality === 'audio' ? 'a' : 'v';
    const head = { norm: `fc_norm_${letter}`, linear: `head_${letter}` };
    if (!weights.has(`${head.linear}.weight`)) continue;
    classes = mapHead(weights, head, mapped, `${modality}_head`);
  }
  if (present.length === 2 && weights.has('head_av.weight')) {
    classes = mapHead(weights, { norm: 'fc_norm_av', linear: 'head_av' }, mapped, 'av_head');
  }
  return classes;
}
