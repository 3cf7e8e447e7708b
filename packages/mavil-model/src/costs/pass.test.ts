// SPDX-License-Identifier: Apache-2.0
// The counted costs beside a real step: every BatchMatMul that the composed kernels run on tfjs's cpu backend, and every buffer that the
// tape holds when the forward pass ends, once what no gradient needs is gone.
import { disposeTree, makeKey, tensorsIn, valueAndGrads } from '@diffmavil/core';
import { devices, savedBytes } from '@diffmavil/testkit';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';

import { defineModel } from '../config.ts';
import type { ModelConfig, PartialModelConfig } from '../config.ts';
import { mapPresent } from '../fusion.ts';
import type { PerModality } from '../fusion.ts';
import { maskRatiosAt } from '../masking.ts';
import type { MaskRatios } from '../masking.ts';
import { pretrainForward } from '../mavil.ts';
import { initializeParameters } from '../parameters.ts';
import { presetMasking, presets } from '../presets.ts';
import type { PresetName } from '../presets.ts';
import type { ModalityInput } from '../split-tokens.ts';
import { shrunkPreset, testInputs } from '../test-inputs.ts';
import { tracePass } from './pass.ts';

const batch = 2;

interface Shaped {
  readonly shape: readonly number[];
}
interface Engine {
  runKernel: (kernel: string, inputs: Record<string, Shaped>, attributes?: object) => unknown;
}

/** Multiply-accumulates of one BatchMatMul, without what composed kernels do by products for speed. */
function macsOf(
  { encoder, decoder }: ModelConfig,
  { a, b }: Record<string, Shaped>,
  { transposeA = false, transposeB = false }: { transposeA?: boolean; transposeB?: boolean },
): number {
  const [first = [], second = []] = [a?.shape, b?.shape].map((shape) => shape?.slice(-2));
  const [m = 0, k = 0] = transposeA ? first.toReversed() : first;
  const [, n = 0] = transposeB ? second.toReversed() : second;
  // Sums and repetitions: a side of length 1.
  if ([m, k, n].includes(1)) return 0;
  // Position biases looked up: one-hot rows of (2 * 4 - 1)^2 offsets.
  if ([m, k, n].includes(49)) return 0;
  const copies = [a, b].map((x) =>
    x!.shape.slice(0, -2).reduce((product, size) => product * size, 1),
  );
  // A column of biases, log-sum-exps or deltas rides along.
  const plain = [encoder, decoder].flatMap(({ width, heads }) => [width, width / heads]);
  const inner = plain.includes(k - 1) ? k - 1 : k;
  return Math.max(...copies) * m * inner * n;
}

interface Executed {
  readonly forward: number;
  readonly backward: number;
  readonly keptBytes: number;
}

/** A teacher's features, where the configuration predicts some. */
function withTargets(
  { targets }: ModelConfig,
  inputs: PerModality<ModalityInput>,
): PerModality<ModalityInput> {
  if (targets.kind === 'patches') return inputs;
  return mapPresent(inputs, (input) => {
    const [clips = 0, tokens = 0] = input.patches.shape;
    return { ...input, targets: tf.ones([clips, tokens, targets.width]) };
  });
}

/** One step, by what it runs and keeps. */
function execute(config: ModelConfig, ratios: MaskRatios): Executed {
  const parameters = initializeParameters(config, makeKey(1));
  const inputs = withTargets(config, testInputs(config, batch, 2));
  const engine = tf.engine() as unknown as Engine;
  const original = engine.runKernel.bind(engine);
  const macs = { forward: 0, backward: 0 };
  let phase: 'forward' | 'backward' = 'forward';
  let kept = 0;
  engine.runKernel = (kernel, given, attributes) => {
    if (kernel === 'BatchMatMul') macs[phase] += macsOf(config, given, attributes ?? {});
    return original(kernel, given, attributes);
  };
  try {
    const step = valueAndGrads(() => {
      const outputs = pretrainForward(config, parameters, inputs, ratios);
      kept = savedBytes(outputs.loss, Object.values(parameters), tensorsIn(inputs));
      phase = 'backward';
      return outputs;
    }, parameters);
    disposeTree(step);
  } finally {
    delete (engine as Partial<Engine>).runKernel;
    disposeTree([parameters, inputs]);
  }
  return { ...macs, keptBytes: kept };
}

const names = Object.keys(presets) as PresetName[];
const { encoder, decoder } = presets.tiny;
const loss = { interDirection: 'both', intraWeight: 0 } as const;
const variants: [string, PartialModelConfig][] = [
  [
    'learned positions everywhere',
    {
      encoder: { ...encoder, positions: 'learned' },
      decoder: { ...decoder, positions: 'learned' },
    },
  ],
  ['contrast in both directions', { loss }],
  [
    'distillation tokens, a class token of the decoder',
    {
      encoder: { ...encoder, classToken: true, distillationToken: true },
      decoder: {
        ...decoder,
        audioAttention: 'global',
        videoAttention: 'self',
        classToken: 'learned',
      },
    },
  ],
  [
    "the encoder's class token in the decoder",
    {
      encoder: { ...encoder, classToken: true },
      decoder: {
        ...decoder,
        audioAttention: 'global',
        videoAttention: 'self',
        classToken: 'encoder',
      },
    },
  ],
  [
    'modality norms that no loss sees',
    { fusion: { kind: 'modality-norms', depth: 1 }, loss: { interWeight: 0, intraWeight: 0 } },
  ],
  ['bottlenecks with a last norm', { fusion: { kind: 'bottleneck', depth: 2, bottlenecks: 4 } }],
];

describe.each(devices)('tracePass, as run on $name', (device) => {
  const expectCosts = (config: ModelConfig, ratios: MaskRatios): void => {
    const { keptBytes, ...executed } = execute(config, ratios);
    const ledger = tracePass(config, ratios, batch, 'tfjs');
    const sum = (part: 'forward' | 'backward' | 'recomputed'): number =>
      Object.values(ledger.products).reduce((total, module) => total + module[part], 0);
    const backward = sum('backward') + sum('recomputed');
    expect({ forward: sum('forward'), backward }).toEqual(executed);
    // wasm's Identity copies, so there a tensor that two ops keep is held twice, and weights too.
    if (device.name === 'cpu') expect(4 * ledger.keptValues()).toBe(keptBytes);
  };

  it.each(names)('counts products and kept buffers of a step of %s', async (name) => {
    await device.use();
    const { curriculum, epochs } = presetMasking[name];
    expectCosts(shrunkPreset(name), maskRatiosAt(curriculum, 0, epochs));
  });

  it.each(variants)('counts %s', async (_, partial) => {
    await device.use();
    expectCosts(defineModel({ ...presets.tiny, ...partial }), 0.8);
  });
});
