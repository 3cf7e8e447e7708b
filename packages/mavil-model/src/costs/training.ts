// SPDX-License-Identifier: Apache-2.0
// What one training step costs: floating-point operations and memory, for a whole batch.
import { ConfigError } from '@diffmavil/core';

import type { ModelConfig } from '../config.ts';
import { maskRatiosAt } from '../masking.ts';
import type { MaskCurricula, MaskRatios } from '../masking.ts';
import { parameterCount } from '../parameters.ts';
import { canonicalCosts } from './canonical.ts';
import type { CostBackend } from './ledger.ts';
import { tracePass } from './pass.ts';

export interface TrainingOptions {
  /**
   * 'canonical' (default): by the book, the backward pass twice the forward pass, attention probabilities kept, contrast left out.
   * 'exact': what this code runs and keeps in float32.
   */
  readonly accounting?: 'canonical' | 'exact';
  /** Clips of a step, a whole number from 1. Default 1. */
  readonly batch?: number;
  /**
   * Exact activations: those of diffmavil-cpu ('native', default), or of tfjs's cpu backend ('tfjs'), whose sums and means keep their
   * input. tfjs's wasm backend keeps copies, which are not counted.
   */
  readonly backend?: CostBackend;
}

export interface TrainingCosts {
  readonly batch: number;
  /** Floating-point operations of matrix products in one step, two for each multiply-accumulate. */
  readonly flops: {
    readonly forward: number;
    readonly backward: number;
    /** Attention scores that the backward pass computes again instead of keeping them. */
    readonly recomputed: number;
    readonly total: number;
  };
  /** Memory that a step needs at least, float32. Inputs, the optimizer's passing values and what kernels use meanwhile come on top. */
  readonly bytes: {
    readonly parameters: number;
    readonly gradients: number;
    /** AdamW's two moments. */
    readonly optimizer: number;
    /** Kept for the backward pass when the forward pass ends. */
    readonly activations: number;
    readonly total: number;
  };
}

/** One step at a mask ratio in [0, 1). The teacher of a student is not counted: its configuration is another one. Throws ConfigError. */
export function trainingCosts(
  config: ModelConfig,
  ratios: MaskRatios,
  { accounting = 'canonical', batch = 1, backend = 'native' }: TrainingOptions = {},
): TrainingCosts {
  if (!Number.isInteger(batch) || batch < 1) {
    throw new ConfigError(
      `trainingCosts: expected batch to be a whole number from 1, got ${batch}`,
    );
  }
  const { forward, backward, recomputed, kept } =
    accounting === 'exact'
      ? exactPass(config, ratios, batch, backend)
      : canonicalPass(config, ratios, batch);
  const flops = { forward: 2 * forward, backward: 2 * backward, recomputed: 2 * recomputed };
  const weights = 4 * parameterCount(config);
  const bytes = { parameters: weights, gradients: weights, optimizer: 2 * weights };
  return {
    batch,
    flops: { ...flops, total: flops.forward + flops.backward + flops.recomputed },
    bytes: { ...bytes, activations: 4 * kept, total: 4 * weights + 4 * kept },
  };
}

/** Over the epochs of a curriculum, 1 or more: the mean of the operations, the most of the memory. Throws ConfigError. */
export function trainingCostsOverCurriculum(
  config: ModelConfig,
  curricula: MaskCurricula,
  epochs: number,
  options: TrainingOptions = {},
): TrainingCosts {
  const steps = Array.from({ length: epochs }, (_, epoch) =>
    trainingCosts(config, maskRatiosAt(curricula, epoch, epochs), options),
  );
  const mean = (part: keyof TrainingCosts['flops']): number =>
    steps.reduce((sum, { flops }) => sum + flops[part], 0) / epochs;
  const [first, ...rest] = steps;
  if (first === undefined) {
    throw new ConfigError('trainingCostsOverCurriculum: expected epochs from 1, got none');
  }
  const largest = rest.reduce(
    (most, step) => (step.bytes.total > most.bytes.total ? step : most),
    first,
  );
  return {
    ...largest,
    flops: {
      forward: mean('forward'),
      backward: mean('backward'),
      recomputed: mean('recomputed'),
      total: mean('total'),
    },
  };
}

interface Pass {
  readonly forward: number;
  readonly backward: number;
  readonly recomputed: number;
  /** Values. */
  readonly kept: number;
}

function canonicalPass(config: ModelConfig, ratios: MaskRatios, batch: number): Pass {
  const modules = Object.values(canonicalCosts(config, ratios));
  const forward = batch * modules.reduce((sum, { macs }) => sum + macs, 0);
  const kept = batch * modules.reduce((sum, module) => sum + module.kept, 0);
  return { forward, backward: 2 * forward, recomputed: 0, kept };
}

function exactPass(
  config: ModelConfig,
  ratios: MaskRatios,
  batch: number,
  backend: CostBackend,
): Pass {
  const { products, keptValues } = tracePass(config, ratios, batch, backend);
  const sum = (part: 'forward' | 'backward' | 'recomputed'): number =>
    Object.values(products).reduce((total, module) => total + module[part], 0);
  return {
    forward: sum('forward'),
    backward: sum('backward'),
    recomputed: sum('recomputed'),
    kept: keptValues(),
  };
}
