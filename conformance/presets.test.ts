// SPDX-License-Identifier: Apache-2.0
// One training step of every preset, with its structure and tiny sizes, on every backend: finite losses, and a gradient for every weight.
import {
  disposeTree,
  fold,
  keysTensorData,
  makeKey,
  normals,
  valueAndGrads,
} from '@diffmavil/core';
import {
  type MaskRatios,
  type Modality,
  type ModalityInput,
  type ModelConfig,
  type PresetName,
  defineModel,
  drawMask,
  initializeParameters,
  maskRatioOf,
  maskRatiosAt,
  modalities,
  patchValues,
  presetMasking,
  presets,
  pretrainForward,
  teacherTargets,
  tokenCount,
} from '@diffmavil/model';
import { delegatedKernels, resetDelegatedKernels } from '@diffmavil/native';
import { devices, expectNoLeak } from '@diffmavil/testkit';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { emulatedDevice, processor } from './targets.ts';

const names = Object.keys(presets) as PresetName[];
const batch = 2;

describe.each(devices)('a training step on $name', (device) => {
  beforeAll(device.use);
  it.each(names)('reaches every weight of a small %s', checkStep);
});

describe.each([processor, emulatedDevice()])('ours', ({ name, register, missing }) => {
  const note = missing === null ? '' : ` (skipped: ${missing})`;
  describe.skipIf(missing !== null)(`a training step on ${name}${note}`, () => {
    beforeAll(async () => {
      tf.env().set('IS_TEST', true);
      register();
      await tf.setBackend(name);
    });
    it.each(names)('reaches every weight of a small %s and delegates no kernel', async (preset) => {
      resetDelegatedKernels();
      await checkStep(preset);
      expect(delegatedKernels()).toEqual({});
    });
  });
});

describe('the check of gradients', () => {
  beforeAll(devices[1]!.use);

  it('names the weights that no loss reaches: norms of the contrast, without a contrast', async () => {
    const config = shrunk(presets['cav-mae']);
    const without = defineModel({ ...config, loss: { ...config.loss, interWeight: 0 } });
    const found = await unreached(without, 0.75);
    const blocks = ['norm1', 'norm2'].map((part) => `fusion.blocks.0.${part}`);
    const norms = [...blocks, 'fusion.norm'].flatMap((n) => [`${n}_audio`, `${n}_video`]);
    const expected = norms.flatMap((n) => [`${n}.weight`, `${n}.bias`]);
    expect(found.toSorted()).toEqual(expected.toSorted());
  });
});

async function checkStep(name: PresetName): Promise<void> {
  const config = shrunk(presets[name]);
  const { curriculum, epochs } = presetMasking[name];
  const faults = await expectNoLeak(() => unreached(config, maskRatiosAt(curriculum, 0, epochs)));
  expect(faults).toEqual([]);
}

/** Losses that are not finite and weights whose gradient is nought or not finite. */
async function unreached(config: ModelConfig, ratios: MaskRatios): Promise<string[]> {
  const parameters = initializeParameters(config, makeKey(1));
  const inputs = inputsOf(config, ratios);
  const { outputs, grads } = valueAndGrads(
    () => pretrainForward(config, parameters, inputs, ratios),
    parameters,
  );
  const faults: string[] = [];
  for (const [name, loss] of Object.entries<tf.Tensor>({ ...outputs })) {
    const values = await loss.data();
    if (!values.every(Number.isFinite)) faults.push(name);
  }
  for (const [name, gradient] of Object.entries(grads)) {
    const values = await gradient.data();
    const reached = values.every(Number.isFinite) && values.some((x) => x !== 0);
    // Softmax does not feel a bias that all keys share.
    if (!reached && !name.endsWith('bias_mlp.fc2.bias')) faults.push(name);
  }
  expect(Object.keys(grads)).toEqual(Object.keys(parameters));
  disposeTree([parameters, inputs, outputs, grads]);
  return faults;
}

/** The same structure: 8 x 8 audio and 2 x 4 x 4 video tokens (4 x 4 of a single frame), 8 numbers wide, two blocks where there are more. */
function shrunk(config: ModelConfig): ModelConfig {
  const { audio, video, encoder, fusion, decoder, targets } = config;
  const tubelet = video?.tubelet ?? 1;
  const frames = Math.min(2 * tubelet, video?.frames ?? 1);
  const whole = video?.predictFrames === video?.frames;
  return defineModel({
    ...config,
    audio: audio && { frames: 16, mels: 16, patch: 2, stride: 2 },
    video: video && {
      frames,
      size: 8,
      tubelet,
      patch: 2,
      predictFrames: whole ? frames : frames / tubelet,
    },
    encoder: { ...encoder, width: 8, heads: 2, depth: Math.min(encoder.depth, 2) },
    fusion: { ...fusion, depth: Math.min(fusion.depth, 2) },
    decoder: { ...decoder, width: 8, heads: 2, depth: 2 },
    targets: targets.kind === 'teacher' ? { ...targets, width: 8 } : targets,
  });
}

function inputsOf(
  config: ModelConfig,
  ratios: MaskRatios,
): Partial<Record<Modality, ModalityInput>> {
  const inputs = modalities(config).map((m): [Modality, ModalityInput] => {
    const own = fold(makeKey(2), m);
    const [tokens, values] = [tokenCount(config, m), patchValues(config, m)];
    const clips = Array.from({ length: batch }, (_, clip) => fold(own, clip));
    const ordersOf = (purpose: string): tf.Tensor => {
      const rows = clips.map((key) => [
        ...drawMask(config, m, maskRatioOf(ratios, m), fold(key, purpose)),
      ]);
      return tf.tensor2d(rows, [batch, tokens], 'int32');
    };
    return [
      m,
      {
        patches: tf.tensor3d(normals(own, batch * tokens * values), [batch, tokens, values]),
        order: ordersOf('mask'),
        secondOrder: ordersOf('second'),
        timesteps: clips.map((_, clip) => 100 * (clip + 1)),
        noise: { keys: tf.tensor2d(keysTensorData(clips), [batch, 4], 'int32') },
      },
    ];
  });
  return withTargets(config, Object.fromEntries(inputs));
}

/** What a teacher, drawn anew, says of the patches, where the model learns from one. */
function withTargets(
  config: ModelConfig,
  inputs: Partial<Record<Modality, ModalityInput>>,
): Partial<Record<Modality, ModalityInput>> {
  const { targets } = config;
  if (targets.kind !== 'teacher') return inputs;
  const teacher = defineModel({ ...config, targets: { kind: 'patches' } });
  const parameters = initializeParameters(teacher, makeKey(3));
  const patches = Object.fromEntries(Object.entries(inputs).map(([m, i]) => [m, i.patches]));
  const features = teacherTargets({ config: teacher, parameters }, targets, patches);
  disposeTree(parameters);
  return Object.fromEntries(
    Object.entries(inputs).map(([m, input]) => [
      m,
      { ...input, targets: features[m as Modality] as tf.Tensor },
    ]),
  );
}
