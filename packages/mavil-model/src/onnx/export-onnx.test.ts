// SPDX-License-Identifier: Apache-2.0
// Exported graphs run by ONNX Runtime (onnxruntime-web, which is WebAssembly in Node too), beside our own forward pass.
import { BinaryReader } from '@bufbuild/protobuf/wire';
import { disposeTree, fold, makeKey, normals } from '@diffmavil/core';
import { devices } from '@diffmavil/testkit';
import { InferenceSession, Tensor } from 'onnxruntime-web';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';

import { audioVideoClassifierForward, classifierForward } from '../classifier.ts';
import { defineModel, modalities, patchValues, tokenCount } from '../config.ts';
import type { Modality, ModelConfig, PartialModelConfig } from '../config.ts';
import { encode, meanPool } from '../encoder.ts';
import { unimodalTokens } from '../fusion.ts';
import { initializeHead, initializeParameters } from '../parameters.ts';
import type { Parameters } from '../parameters.ts';
import { defaultPreprocessor } from '../preprocessor.ts';
import { presets } from '../presets.ts';
import type { PresetName } from '../presets.ts';
import { shrunkPreset } from '../test-inputs.ts';
import { exportOnnx } from './export-onnx.ts';
import type { OnnxModel } from './export-onnx.ts';

beforeAll(devices[0]!.use);

const { encoder } = presets.tiny;
const tiny = (rest: PartialModelConfig): ModelConfig => defineModel({ ...presets.tiny, ...rest });

/** A model whose every weight is random: zeros and ones would hide a bias or a LayerNorm that is left out. */
function randomModel(config: ModelConfig, heads: readonly (Modality | 'both')[] = []): OnnxModel {
  const key = makeKey(3);
  const plain = Object.assign(
    initializeParameters(config, key),
    ...heads.map((head) => initializeHead(config, head, 5, key)),
  ) as Parameters;
  const parameters = Object.fromEntries(
    Object.entries(plain).map(([name, weight]) => {
      const noise = normals(fold(key, 'noise', name), weight.size).map((x) => 0.2 * x);
      return [name, tf.tidy(() => tf.add(weight, tf.tensor(noise, weight.shape)))];
    }),
  );
  disposeTree(plain);
  const labels = heads.length > 0 ? ['a', 'b', 'c', 'd', 'größer'] : null;
  const task = heads.length > 0 ? ('single-label' as const) : null;
  return { config, parameters, preprocessor: { ...defaultPreprocessor(config), labels, task } };
}

function randomPatches(config: ModelConfig, modality: Modality, batch: number): tf.Tensor3D {
  const shape: [number, number, number] = [
    batch,
    tokenCount(config, modality),
    patchValues(config, modality),
  ];
  return tf.tensor3d(normals(makeKey(batch), shape[0] * shape[1] * shape[2]), shape);
}

async function runOnnx(
  bytes: Uint8Array,
  inputs: Readonly<Record<string, tf.Tensor>>,
): Promise<Record<string, Float32Array>> {
  const session = await InferenceSession.create(bytes);
  try {
    const feeds = Object.entries(inputs).map(([name, x]): [string, Tensor] => [
      name,
      new Tensor('float32', x.dataSync<'float32'>(), x.shape),
    ]);
    const outputs = await session.run(Object.fromEntries(feeds));
    return Object.fromEntries(
      Object.entries(outputs).map(([name, { data }]) => [name, data as Float32Array]),
    );
  } finally {
    await session.release();
  }
}

/** Root of the summed squares of the difference, over that of `expected`. */
function relative(actual: ArrayLike<number>, expected: tf.Tensor): number {
  const e = expected.dataSync<'float32'>();
  expect(actual.length).toBe(e.length);
  const error = e.reduce((sum, x, i) => sum + (x - actual[i]!) ** 2, 0);
  return Math.sqrt(error / e.reduce((sum, x) => sum + x * x, 0));
}

const embed = ({ config, parameters }: OnnxModel, m: Modality, patches: tf.Tensor): tf.Tensor =>
  tf.tidy(() => {
    const tokens = { [m]: encode(config, parameters, m, patches) };
    return meanPool(config, unimodalTokens(config, parameters, tokens)[m]!);
  });

/** A preset for every kind of encoder and fusion among them. */
function differentEncoders(): PresetName[] {
  const first = new Map<string, PresetName>();
  for (const name of (Object.keys(presets) as PresetName[]).filter((each) => each !== 'small')) {
    const { encoder, fusion, audio, video } = shrunkPreset(name);
    const kind = JSON.stringify([encoder, fusion, audio, video]);
    if (!first.has(kind)) first.set(kind, name);
  }
  return [...first.values()];
}

/** metadata_props (field 14: key 1, value 2) of a ModelProto. */
function metadataOf(bytes: Uint8Array): Record<string, string> {
  const reader = new BinaryReader(bytes);
  const found: [string, string][] = [];
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag();
    if (field !== 14) {
      reader.skip(type);
      continue;
    }
    const entry = new BinaryReader(reader.bytes());
    entry.tag();
    const key = entry.string();
    entry.tag();
    found.push([key, entry.string()]);
  }
  return Object.fromEntries(found);
}

describe('exportOnnx', () => {
  it.each<[string, ModelConfig]>([
    ...differentEncoders().map((name): [string, ModelConfig] => [
      `a small ${name}`,
      shrunkPreset(name),
    ]),
    [
      'class and distillation token',
      tiny({ encoder: { ...encoder, classToken: true, distillationToken: true } }),
    ],
    ['shared blocks', tiny({ encoder: { ...encoder, sharing: 'shared' } })],
    [
      'learned positions',
      tiny({ encoder: { ...encoder, positions: 'learned', modalityToken: true } }),
    ],
    ['no last norm', tiny({ encoder: { ...encoder, finalNorm: false, normEpsilon: 1e-3 } })],
    ['modality norms', tiny({ fusion: { kind: 'modality-norms', depth: 1 } })],
  ])('gives the embeddings of %s to 1e-5, at any batch size', async (_, config) => {
    const model = randomModel(config);
    for (const modality of modalities(config)) {
      const { bytes, inputs, outputs } = await exportOnnx(model, { modality });
      expect(inputs).toEqual({
        patches: ['batch', tokenCount(config, modality), patchValues(config, modality)],
      });
      expect(outputs).toEqual({ embedding: ['batch', config.encoder.width] });
      for (const batch of [1, 3]) {
        const patches = randomPatches(config, modality, batch);
        const { embedding } = await runOnnx(bytes, { patches });
        expect(relative(embedding!, embed(model, modality, patches))).toBeLessThan(1e-5);
      }
    }
  });

  it.each<[string, Modality, ModelConfig]>([
    ['sound', 'audio', presets.tiny],
    ['pictures', 'video', presets.tiny],
    [
      'class tokens after the last norm',
      'audio',
      tiny({
        encoder: { ...encoder, classToken: true, distillationToken: true },
        classifier: { pooling: 'class-tokens', finalNorm: true },
      }),
    ],
  ])('gives the logits of a model fine-tuned on %s', async (_, m, config) => {
    const model = randomModel(config, [m]);
    const { bytes, outputs } = await exportOnnx(model, { modality: m, head: true });
    expect(outputs).toEqual({ embedding: ['batch', 24], logits: ['batch', 5] });
    const patches = randomPatches(model.config, m, 2);
    const { logits } = await runOnnx(bytes, { patches });
    const ours = classifierForward(model.config, model.parameters, m, patches);
    expect(relative(logits!, ours)).toBeLessThan(1e-5);
  });

  it.each<[string, ModelConfig]>([
    ['joint', tiny({ encoder: { ...encoder, classToken: true } })],
    ['bottleneck', tiny({ fusion: { kind: 'bottleneck', depth: 2, bottlenecks: 3 } })],
    ['modality-norms', tiny({ fusion: { kind: 'modality-norms', depth: 1 } })],
    [
      'joint, the mean over both',
      tiny({ encoder: { ...encoder, classToken: true }, classifier: { joint: 'mean' } }),
    ],
    [
      'joint, class tokens pooled',
      tiny({ encoder: { ...encoder, classToken: true }, classifier: { pooling: 'class-tokens' } }),
    ],
  ])('gives both embeddings and the logits of sound and pictures, fusion %s', async (_, config) => {
    const model = randomModel(config, ['both']);
    const { bytes, modality, outputs } = await exportOnnx(model, { head: true });
    expect(modality).toBe('av');
    expect(Object.keys(outputs)).toEqual(['audio_embedding', 'video_embedding', 'logits']);
    const audio = randomPatches(config, 'audio', 2);
    const video = randomPatches(config, 'video', 2);
    const made = await runOnnx(bytes, { audio_patches: audio, video_patches: video });
    expect(relative(made['audio_embedding']!, embed(model, 'audio', audio))).toBeLessThan(1e-5);
    expect(relative(made['video_embedding']!, embed(model, 'video', video))).toBeLessThan(1e-5);
    const ours = audioVideoClassifierForward(config, model.parameters, { audio, video });
    expect(relative(made['logits']!, ours)).toBeLessThan(1e-5);
  });

  it('takes the modality of the only head, or of the only encoder', async () => {
    const tagged = randomModel(presets.tiny, ['audio']);
    expect((await exportOnnx(tagged, { head: true })).modality).toBe('audio');
    expect((await exportOnnx(tagged)).modality).toBe('av');
    // A fine-tuned model carries the encoder it was tuned on alone.
    const own = Object.entries(tagged.parameters).filter(([name]) => name.startsWith('audio_'));
    const classifier = { ...tagged, parameters: Object.fromEntries(own) };
    expect((await exportOnnx(classifier)).modality).toBe('audio');
    await expect(exportOnnx(classifier, { modality: 'av' })).rejects.toThrow(
      "exportOnnx: expected modality 'audio', as the model has no other, got 'av'",
    );
  });

  it('says what a file is in its metadata', async () => {
    const model = randomModel(presets.tiny, ['audio']);
    const { bytes } = await exportOnnx(model, { modality: 'audio' });
    expect(metadataOf(bytes)).toEqual({
      modality: 'audio',
      config: JSON.stringify(model.config),
      preprocessor: JSON.stringify(model.preprocessor),
      labels: '["a","b","c","d","größer"]',
      task: 'single-label',
    });
  });

  it('says in one sentence what cannot be exported', async () => {
    const sound = randomModel(tiny({ video: null }));
    await expect(exportOnnx(sound, { modality: 'video' })).rejects.toThrow(
      "exportOnnx: expected modality 'audio', as the model has no other, got 'video'",
    );
    await expect(exportOnnx(sound, { head: true })).rejects.toThrow(
      'exportOnnx: expected the classification head audio_head, got none. ' +
        'Try: fine-tune the model first, or export without the head',
    );
    const tagged = randomModel(presets.tiny, ['audio']);
    await expect(exportOnnx(tagged, { modality: 'av', head: true })).rejects.toThrow(
      'exportOnnx: expected the classification head av_head, got audio_head. Try: its modality',
    );
    const { 'audio_encoder.norm.bias': _, ...rest } = tagged.parameters;
    await expect(
      exportOnnx({ ...tagged, parameters: rest }, { modality: 'audio' }),
    ).rejects.toThrow('exportOnnx: expected a weight named audio_encoder.norm.bias, got none');
  });
});
