// SPDX-License-Identifier: Apache-2.0
// CAV-MAE, pre-trained and fine-tuned.
import type { DecoderConfig, EncoderConfig, Modality } from '../config.ts';
import { inflatedKernel, reshaped, timeMajorTable, transposed, tubeletKernel } from './arrays.ts';
import type { Values } from './arrays.ts';
import { mapBlock, mapBlocks, mapLinear, mapNorm, MappedWeights, mlpRatioOf } from './blocks.ts';
import type { ForeignWeights } from './foreign-weights.ts';
import { mapHead } from './heads.ts';
import { joined, wanted, withoutContrast } from './mapping.ts';
import type { Format, InputSections } from './mapping.ts';
import { audioSize, decoderHeads, encoderHeads, numberIn, squareSide } from './sizes.ts';
import { audioKernel } from './vit-positions.ts';

/** Statistics of CAV-MAE's spectrograms; it divides by one deviation where we divide by two. */
const cavMaeAudio = { mean: -5.081, std: 4.4849 / 2 };

/** CAV-MAE: frequency-major spectrograms, one picture, norms for joint and for single passes [CAV-MAE §3]. */
export const cavMae: Format = {
  name: 'a CAV-MAE',
  recognize: (weights) => weights.has('patch_embed_a.proj.weight'),
  map(weights, options) {
    const mapped = new MappedWeights();
    const present = wanted(options);
    const both = present.length === 2;
    const sections = present.map((m) => mapCavMaeEncoder(weights, m, mapped, both));
    const decoder = both ? mapJointDecoder(weights, mapped) : {};
    if (both) mapCavMaeFusion(weights, mapped);
    const head = { norm: 'mlp_head.0', linear: 'mlp_head.1' };
    const classifies = weights.has('mlp_head.1.weight');
    const name = both ? 'av_head' : (`${present[0] ?? 'audio'}_head` as const);
    const classes = classifies ? mapHead(weights, head, mapped, name) : null;
    ignoreUnusedCavMae(weights, both, present[0] === 'audio');
    const shared = weights.count('blocks_u');
    return {
      weights: mapped,
      classes,
      audio: cavMaeAudio,
      video: { durationSeconds: 10 },
      config: {
        ...joined(sections),
        encoder: {
          ...cavMaeEncoder(weights, both),
          mlpRatio: mlpRatioOf(mapped, `${present[0]}_encoder.blocks.0`),
        },
        fusion: both
          ? { kind: 'modality-norms', depth: shared, finalNorm: true }
          : { kind: 'none' },
        decoder: { audioAttention: 'global', videoAttention: 'self', ...decoder },
        ...(classifies && { classifier: { finalNorm: !both, joint: 'mean' } }),
        masked: { kind: 'mask-token' },
        loss: both ? cavMaeLoss : withoutContrast,
      },
    };
  },
};

/** As CAV-MAE was pre-trained [CAV-MAE §3.3]. */
const cavMaeLoss = {
  interWeight: 0.01,
  interTemperature: 0.05,
  interDirection: 'video-to-audio',
  intraWeight: 0,
  normalizeTargets: true,
} as const;

/** The encoders of both modalities, or one with the shared blocks behind its own. */
function cavMaeEncoder(weights: ForeignWeights, both: boolean): Partial<EncoderConfig> {
  const width = weights.shapeOf('patch_embed_a.proj.weight')[0] ?? 0;
  return {
    width,
    depth: weights.count('blocks_a') + (both ? 0 : weights.count('blocks_u')),
    heads: encoderHeads(weights, width),
    finalNorm: !both,
    positions: 'learned',
    modalityToken: true,
    normEpsilon: numberIn(weights, 'layer_norm_eps') ?? 1e-5,
  };
}

const extraNorms = ['norm1_a', 'norm1_v', 'norm2_a', 'norm2_v'];

/**
 * One encoder. Without the other modality the shared blocks follow its own, with the norms they have for it, and the
 * whole is a plain encoder.
 */
function mapCavMaeEncoder(
  weights: ForeignWeights,
  modality: Modality,
  mapped: MappedWeights,
  both: boolean,
): InputSections {
  const letter = modality === 'audio' ? 'a' : 'v';
  const module = `${modality}_encoder`;
  const kernel = weights.take(`patch_embed_${letter}.proj.weight`, 4);
  const linear =
    modality === 'audio'
      ? audioKernel(kernel, true)
      : tubeletKernel(inflatedKernel(kernel, 1, 'average'));
  mapped.set(`${module}.patch_embed.weight`, linear);
  mapped.set(`${module}.patch_embed.bias`, weights.take(`patch_embed_${letter}.proj.bias`, 1));
  mapped.set(`${module}.modality_token`, weights.take(`modality_${letter}`, 3));
  const table = weights.take(`pos_embed_${letter}`, 3);
  const tokens = table.shape[1] ?? 0;
  const patch = kernel.shape[3] ?? 16;
  const depth = mapBlocks(weights, `blocks_${letter}`, mapped, `${module}.blocks`);
  if (!both) {
    const norms = [[`norm1_${letter}`], [`norm2_${letter}`]] as const;
    for (let i = 0; i < weights.count('blocks_u'); i++) {
      mapBlock(weights, `blocks_u.${i}`, mapped, `${module}.blocks.${depth + i}`, norms);
    }
    mapNorm(weights, `norm_${letter}`, mapped, `${module}.norm`);
  }
  if (modality === 'audio') {
    const { frames, mels, times, frequencies } = audioSize(weights, tokens, patch, patch);
    mapped.set(`${module}.positions`, timeMajorTable(table, frequencies, times));
    return { audio: { frames, mels, patch } };
  }
  mapped.set(`${module}.positions`, table);
  const size = squareSide(weights, tokens, 'pos_embed_v') * patch;
  return { video: { frames: 1, size, tubelet: 1, patch, predictFrames: 1 } };
}

function mapCavMaeFusion(weights: ForeignWeights, mapped: MappedWeights): void {
  const depth = mapBlocks(weights, 'blocks_u', mapped, 'fusion.blocks');
  const names = { a: 'audio', v: 'video' } as const;
  for (const [letter, modality] of Object.entries(names)) {
    for (let i = 0; i < depth; i++) {
      for (const norm of ['norm1', 'norm2']) {
        const ours = `fusion.blocks.${i}.${norm}_${modality}`;
        mapNorm(weights, `blocks_u.${i}.${norm}_${letter}`, mapped, ours);
      }
    }
    mapNorm(weights, `norm_${letter}`, mapped, `fusion.norm_${modality}`);
  }
  mapNorm(weights, 'norm', mapped, 'fusion.norm');
}

/** One pass over both modalities [CAV-MAE §3.2]. */
function mapJointDecoder(weights: ForeignWeights, mapped: MappedWeights): Partial<DecoderConfig> {
  if (!weights.has('decoder_embed.weight')) return {};
  mapLinear(weights, 'decoder_embed', mapped, 'shared_decoder.embed');
  mapped.set('shared_decoder.mask_token', weights.take('mask_token', 3));
  const depth = mapBlocks(weights, 'decoder_blocks', mapped, 'shared_decoder.blocks');
  mapNorm(weights, 'decoder_norm', mapped, 'shared_decoder.norm');
  const table = weights.take('decoder_pos_embed_a', 3);
  const patch = weights.shapeOf('patch_embed_a.proj.weight')[3] ?? 16;
  const { times, frequencies } = audioSize(weights, table.shape[1] ?? 0, patch, patch);
  mapped.set('audio_decoder.positions', timeMajorTable(table, frequencies, times));
  mapped.set('video_decoder.positions', weights.take('decoder_pos_embed_v', 3));
  mapped.set('audio_decoder.modality_token', weights.take('decoder_modality_a', 3));
  mapped.set('video_decoder.modality_token', weights.take('decoder_modality_v', 3));
  mapped.set(
    'audio_decoder.head.weight',
    timeRows(weights.take('decoder_pred_a.weight', 2), patch),
  );
  mapped.set('audio_decoder.head.bias', timeRows(weights.take('decoder_pred_a.bias', 1), patch));
  mapLinear(weights, 'decoder_pred_v', mapped, 'video_decoder.head');
  const width = weights.shapeOf('decoder_embed.weight')[0] ?? 0;
  return {
    width,
    depth,
    heads: decoderHeads(weights, width, 32),
    sharing: 'joint',
    positions: 'learned',
    modalityToken: true,
  };
}

/** First axis: values of a patch, (frequency, time) -> (time, frequency). */
function timeRows(values: Values, patch: number): Values {
  const inner = values.data.length / patch ** 2;
  const turned = transposed(reshaped(values, patch, patch, inner), [1, 0, 2]);
  return reshaped(turned, ...values.shape);
}

/** Norms that the blocks carry but never use, and the other modality's parts. */
function ignoreUnusedCavMae(weights: ForeignWeights, both: boolean, keptAudio: boolean): void {
  for (const stack of ['blocks_a', 'blocks_v', 'decoder_blocks']) {
    for (let i = 0; i < weights.count(stack); i++) {
      weights.ignore(...extraNorms.map((norm) => `${stack}.${i}.${norm}.`));
    }
  }
  if (both) return;
  const other = keptAudio ? 'v' : 'a';
  weights.ignore(`patch_embed_${other}.`, `modality_${other}`, `pos_embed_${other}`);
  weights.ignore(`blocks_${other}.`, 'blocks_u.', 'norm.', `norm_${other}.`, 'mask_token');
  weights.ignore('decoder_embed.', 'decoder_blocks.', 'decoder_norm.');
  for (const letter of ['a', 'v']) {
    weights.ignore(
      `decoder_pos_embed_${letter}`,
      `decoder_modality_${letter}`,
      `decoder_pred_${letter}.`,
    );
  }
}
