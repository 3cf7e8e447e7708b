// SPDX-License-Identifier: Apache-2.0
// The kinds of vision-transformer files: timm's names, which the repositories of MAE and AudioMAE share, and Hugging
// Face's.
import type { ForeignWeights } from './foreign-weights.ts';
import type { Head } from './heads.ts';
import type { Format } from './mapping.ts';
import { maeDecoder, mapVit, modalityOf } from './vit.ts';
import type { VitNames } from './vit.ts';

const timmNames: VitNames = {
  patch: 'patch_embed.proj',
  inFront: ['cls_token', 'dist_token'],
  positions: 'pos_embed',
  blocks: 'blocks',
  norm: 'norm',
  decoder: maeDecoder,
};

/** timm pools the mean where it has `fc_norm`, else the class token behind `norm`. */
function timmHead(weights: ForeignWeights): Head | null {
  if (!weights.has('head.weight')) return null;
  const common = { linear: 'head', finalNorm: false } as const;
  if (weights.has('fc_norm.weight')) return { ...common, pooling: 'tokens', norm: 'fc_norm' };
  const single = weights.has('cls_token') && !weights.has('dist_token');
  return single && weights.has('norm.weight')
    ? { ...common, pooling: 'class-tokens', norm: 'norm' }
    : null;
}

/** timm ViT, MAE, AudioMAE: [MAE §3], [AudioMAE]. */
export const timmVit: Format = {
  name: 'a timm ViT, MAE or AudioMAE',
  recognize: (weights) => weights.shapeOf('patch_embed.proj.weight').length === 4,
  map(weights, options) {
    const audio = modalityOf(weights.shapeOf('patch_embed.proj.weight')) === 'audio';
    const mapping = mapVit(
      weights,
      {
        names: timmNames,
        epsilon: 1e-6,
        frequencyMajor: false,
        head: timmHead(weights),
        normalizeTargets: audio,
      },
      options,
    );
    weights.ignore('head.', 'head_dist.', 'fc_norm.');
    return mapping;
  },
};

const projection = 'embeddings.patch_embeddings.projection.weight';

/** What stands before `embeddings.` in a Hugging Face file: `vit.`, or nothing in a bare encoder; null in other files. */
export function huggingFaceRoot(weights: ForeignWeights): string | null {
  const name = weights.names.find((each) => each.endsWith(projection));
  return name === undefined ? null : name.slice(0, -projection.length);
}

function huggingFaceNames(weights: ForeignWeights, root: string): VitNames {
  const stack = (...names: string[]): string =>
    names.find((name) => weights.count(name) > 0) ?? names[0] ?? '';
  return {
    patch: `${root}embeddings.patch_embeddings.projection`,
    inFront: [`${root}embeddings.cls_token`, `${root}embeddings.distillation_token`],
    positions: `${root}embeddings.position_embeddings`,
    blocks: stack(`${root}encoder.layer`, `${root}layers`),
    norm: `${root}layernorm`,
    decoder: {
      embed: 'decoder.decoder_embed',
      maskToken: 'decoder.mask_token',
      positions: 'decoder.decoder_pos_embed',
      blocks: stack('decoder.decoder_layers', 'decoder.decoder_encoder.layer'),
      norm: 'decoder.decoder_norm',
      head: 'decoder.decoder_pred',
    },
  };
}

function isMono(weights: ForeignWeights): boolean {
  return modalityOf(weights.shapeOf(`${huggingFaceRoot(weights) ?? ''}${projection}`)) === 'audio';
}

/** Hugging Face's ViT and ViT-MAE; the head of a classifier reads the class token. */
export const huggingFaceVit: Format = {
  name: 'a Hugging Face ViT or ViT-MAE',
  recognize: (weights) => {
    const root = huggingFaceRoot(weights);
    return root !== null && weights.shapeOf(`${root}${projection}`).length === 4;
  },
  map(weights, options) {
    const root = huggingFaceRoot(weights) ?? '';
    const classifies = weights.has('classifier.weight');
    const head: Head = {
      pooling: 'class-tokens',
      finalNorm: false,
      norm: `${root}layernorm`,
      linear: 'classifier',
    };
    const mapping = mapVit(
      weights,
      {
        names: huggingFaceNames(weights, root),
        epsilon: 1e-12,
        frequencyMajor: false,
        head: classifies ? head : null,
        normalizeTargets: false,
      },
      options,
    );
    weights.ignore('classifier.', `${root}pooler.`);
    return mapping;
  },
};

/** AST as Hugging Face saves it: frequency-major, overlapping patches, both class tokens behind the final norm [AST §2]. */
export const huggingFaceAst: Format = {
  name: 'a Hugging Face AST',
  recognize: (weights) => {
    const root = huggingFaceRoot(weights);
    return root !== null && weights.has(`${root}embeddings.distillation_token`) && isMono(weights);
  },
  map(weights, options) {
    const root = huggingFaceRoot(weights) ?? '';
    const classifies = weights.has('classifier.dense.weight');
    return mapVit(
      weights,
      {
        names: huggingFaceNames(weights, root),
        epsilon: 1e-12,
        frequencyMajor: true,
        head: classifies
          ? {
              pooling: 'class-tokens',
              finalNorm: true,
              norm: 'classifier.layernorm',
              linear: 'classifier.dense',
            }
          : null,
        normalizeTargets: false,
      },
      options,
    );
  },
};
