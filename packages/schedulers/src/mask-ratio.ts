// SPDX-License-Identifier: Apache-2.0
// Curricula for the mask ratio rho_e, the share of tokens hidden from the encoders in epoch e [DiffMAViL §3].
// The paper's curriculum is linear from 0.9 to 0.8.
import { checkInteger, checkNumber, unexpected } from './errors.ts';

/** A mask-ratio curriculum as plain JSON; every ratio is in [0, 1). */
export type MaskRatioCurriculum =
  | { readonly kind: 'fixed'; readonly ratio: number }
  | {
      /** Straight, or half a cosine, from the first epoch's ratio to the last epoch's. */
      readonly kind: 'linear' | 'cosine';
      readonly start: number;
      readonly end: number;
    }
  | {
      readonly kind: 'step';
      /** ratios[0] from the first epoch, ratios[i + 1] from epoch epochs[i]. */
      readonly ratios: readonly number[];
      /** Epochs of change, counted from 0, increasing, >= 1; one fewer than ratios. */
      readonly epochs: readonly number[];
    };

/**
 * The mask ratio of one epoch, rho_e [DiffMAViL §3]: epoch 0 has `start`, epoch `epochs - 1` has `end`.
 * A run of one epoch has `start`.
 *
 * @param epoch counted from 0, a whole number in [0, epochs - 1]
 * @param epochs length of the run, a whole number >= 1
 * @throws ScheduleError when an argument or a field is outside its range
 */
export function maskRatio(curriculum: MaskRatioCurriculum, epoch: number, epochs: number): number {
  checkInteger('maskRatio', 'epochs', epochs, '>= 1');
  checkInteger('maskRatio', 'epoch', epoch, `[0, ${epochs - 1}]`);
  declaredRatios('maskRatio', curriculum);
  const progress = epoch / Math.max(epochs - 1, 1);
  switch (curriculum.kind) {
    case 'fixed':
      return curriculum.ratio;
    case 'linear':
      // Weights rather than start + (end - start) · progress: both ends come out exact.
      return curriculum.start * (1 - progress) + curriculum.end * progress;
    case 'cosine': {
      const weight = (1 + Math.cos(Math.PI * progress)) / 2;
      return curriculum.start * weight + curriculum.end * (1 - weight);
    }
    case 'step': {
      const changes = curriculum.epochs.filter((change) => change <= epoch).length;
      return curriculum.ratios[changes] as number;
    }
    default:
      curriculum satisfies never;
      throw unknownKind('maskRatio', curriculum);
  }
}

/**
 * The smallest ratio a curriculum names, min(rho_1, rho_2) of the paper; a short run need not reach it.
 *
 * @throws ScheduleError when a field is outside its range
 */
export function minimumMaskRatio(curriculum: MaskRatioCurriculum): number {
  return Math.min(...declaredRatios('minimumMaskRatio', curriculum));
}

/** The ratios written in a curriculum, after checking all its fields. */
function declaredRatios(where: string, curriculum: MaskRatioCurriculum): readonly number[] {
  switch (curriculum.kind) {
    case 'fixed':
      checkNumber(where, 'ratio', curriculum.ratio, '[0, 1)');
      return [curriculum.ratio];
    case 'linear':
    case 'cosine':
      checkNumber(where, 'start', curriculum.start, '[0, 1)');
      checkNumber(where, 'end', curriculum.end, '[0, 1)');
      return [curriculum.start, curriculum.end];
    case 'step':
      checkSteps(where, curriculum.ratios, curriculum.epochs);
      return curriculum.ratios;
    default:
      curriculum satisfies never;
      throw unknownKind(where, curriculum);
  }
}

function checkSteps(where: string, ratios: readonly number[], epochs: readonly number[]): void {
  if (!Array.isArray(ratios) || ratios.length === 0) {
    throw unexpected(where, 'ratios to be a list of at least one number', ratios);
  }
  if (!Array.isArray(epochs) || epochs.length !== ratios.length - 1) {
    throw unexpected(where, `epochs to be a list of ${ratios.length - 1} numbers`, epochs);
  }
  ratios.forEach((ratio, i) => checkNumber(where, `ratios[${i}]`, ratio, '[0, 1)'));
  epochs.forEach((epoch, i) => {
    checkInteger(where, `epochs[${i}]`, epoch, `>= ${i === 0 ? 1 : Number(epochs[i - 1]) + 1}`);
  });
}

function unknownKind(where: string, curriculum: unknown): Error {
  const kind = (curriculum as { kind?: unknown }).kind;
  return unexpected(where, `kind 'fixed', 'linear', 'cosine' or 'step'`, kind);
}
