// SPDX-License-Identifier: Apache-2.0
// Weights of other projects: the models made of the files of golden/interop.py and golden/interop_repositories.py
// compute what the originals compute, from the same spectrograms and pictures.
import { patchify as audioPatchify } from '@diffmavil/audio-spectrogram';
import { disposeTree } from '@diffmavil/core';
import {
  type ConvertOptions,
  type ConvertedModel,
  type Modality,
  type Parameters,
  audioVideoClassifierForward,
  classifierForward,
  convertForeign,
  encode,
  fuse,
  modalities,
  patchValues,
  pretrainForward,
  tokenCount,
  unimodalTokens,
} from '@diffmavil/model';
import { DiffMavil, readForeignFile } from '@diffmavil/model/node';
import { backendName, findAddon, registerNative } from '@diffmavil/native';
import { devices, expectClose, expectNoLeak, readFixture } from '@diffmavil/testkit';
import { patchify as videoPatchify } from '@diffmavil/video-patchify';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';

const folderOf = (name: string): string =>
  new URL(`golden/fixtures/interop/${name}`, import.meta.url).pathname;

/** Errors of 1e-5 of the norm; the square of it. Measured: 3e-6 for VideoMAE, whose last norms have an epsilon of their own, 1e-6 for the rest. */
const bound = { nmse: 1e-10 };

const native = {
  name: backendName,
  use: async (): Promise<void> => {
    tf.env().set('IS_TEST', true);
    registerNative();
    await tf.setBackend(backendName);
  },
};
const available = findAddon().addon === null ? devices : [...devices, native];

interface Loaded extends ConvertedModel {
  readonly parameters: Parameters;
  readonly expected: (name: string) => tf.Tensor;
  readonly patches: (modality: Modality) => tf.Tensor;
}

/** Converts a case and hands over its model and its goldens; what is made inside is disposed. */
async function withCase(
  name: string,
  options: ConvertOptions,
  check: (loaded: Loaded) => void,
): Promise<void> {
  const converted = convertForeign(await readForeignFile(folderOf(name)), options);
  const golden = readFixture(`interop/${name}/expected.safetensors`);
  expectNoLeak(() => {
    const parameters = Object.fromEntries(
      Object.entries(converted.weights).map(([key, { data, shape }]) => [
        key,
        tf.tensor(data, [...shape]),
      ]),
    );
    tf.tidy(() =>
      check({
        ...converted,
        parameters,
        expected: golden.tensor,
        patches: (modality) => patchesOf(converted, modality, golden.tensor(modality)),
      }),
    );
    disposeTree(parameters);
  });
}

/** Spectrograms [batch, frames, mels] or pictures [batch, frames, rows, columns, 3] -> [batch, tokens, patchValues]. */
function patchesOf({ config }: ConvertedModel, modality: Modality, inputs: tf.Tensor): tf.Tensor {
  const clips = tf.unstack(inputs).map((clip) => clip.dataSync<'float32'>());
  const patches = clips.map((clip) =>
    modality === 'audio' ? audioPatchify(clip, config.audio!) : videoPatchify(clip, config.video!),
  );
  const shape = [clips.length, tokenCount(config, modality), patchValues(config, modality)];
  return tf.tensor(Float32Array.from(patches.flatMap((each) => [...each])), shape);
}

function expectTokens(loaded: Loaded, modality: Modality, name: string): void {
  const { config, parameters, patches, expected } = loaded;
  const encoded = encode(config, parameters, modality, patches(modality));
  expectClose(encoded, expected(name), bound);
}

function expectLogits(loaded: Loaded, modality: Modality, name: string = 'logits'): void {
  const { config, parameters, patches, expected } = loaded;
  const logits = classifierForward(config, parameters, modality, patches(modality));
  expectClose(logits, expected(name), bound);
}

/** Predictions of the hidden tokens, by a pre-training pass. */
function expectPredictions(
  loaded: Loaded,
  names: Partial<Record<Modality, [string, string]>>,
): void {
  const { config, parameters, patches, expected } = loaded;
  const present = modalities(config);
  const inputs = Object.fromEntries(
    present.map((m) => [m, { patches: patches(m), order: expected(names[m]![0]) }]),
  );
  const ratios = Object.fromEntries(
    present.map((m) => {
      const hidden = expected(names[m]![1]).shape[1] ?? 0;
      return [m, hidden / tokenCount(config, m)];
    }),
  );
  const outputs = pretrainForward(config, parameters, inputs, ratios);
  for (const m of present) {
    expectClose(outputs[`${m}Prediction`]!, expected(names[m]![1]), bound);
  }
}

describe.each(available)('weights of other projects on $name', (device) => {
  beforeAll(device.use);

  it("Hugging Face's ViT: features and classes", () =>
    withCase('hf-vit', {}, (loaded) => {
      expectTokens(loaded, 'video', 'features');
      expectLogits(loaded, 'video');
      expect(loaded.preprocessor.labels).toEqual(['ant', 'bee', 'cow']);
    }));

  it("Hugging Face's ViT-MAE: features, and predictions with the class token in the decoder", () =>
    withCase('hf-vitmae', {}, (loaded) => {
      expectTokens(loaded, 'video', 'features');
      expectPredictions(loaded, { video: ['order', 'prediction'] });
    }));

  it("Hugging Face's VideoMAE: features and predictions", () =>
    withCase('hf-videomae', {}, (loaded) => {
      expectTokens(loaded, 'video', 'features');
      expectPredictions(loaded, { video: ['order', 'prediction'] });
    }));

  it("Hugging Face's VideoMAE, fine-tuned: features and classes", () =>
    withCase('hf-videomae-classifier', {}, (loaded) => {
      expectTokens(loaded, 'video', 'features');
      expectLogits(loaded, 'video');
    }));

  it("Hugging Face's AST: features of overlapping patches, and classes", () =>
    withCase('hf-ast', {}, (loaded) => {
      expectTokens(loaded, 'audio', 'features');
      expectLogits(loaded, 'audio');
    }));

  it("timm's ViT: features and classes", () =>
    withCase('timm-vit', {}, (loaded) => {
      expectTokens(loaded, 'video', 'features');
      expectLogits(loaded, 'video');
    }));

  it("timm's ViT on spectrograms: colours summed, positions resized", () =>
    withCase('timm-vit', { as: 'audio' }, (loaded) => {
      expectTokens(loaded, 'audio', 'audio_features');
      expect(loaded.preprocessor.labels).toBeNull();
    }));

  it("timm's copy of a fine-tuned AudioMAE: features and classes", () =>
    withCase('timm-audiomae', {}, (loaded) => {
      expectTokens(loaded, 'audio', 'features');
      expectLogits(loaded, 'audio');
    }));

  it('AudioMAE: features, and predictions of its window decoder', () =>
    withCase('audiomae', {}, (loaded) => {
      expectTokens(loaded, 'audio', 'features');
      expectPredictions(loaded, { audio: ['order', 'prediction'] });
    }));

  it('MAViL, fine-tuned: both encoders, the fusion and classes', () =>
    withCase('mavil', {}, (loaded) => {
      expectTokens(loaded, 'audio', 'audio_features');
      expectTokens(loaded, 'video', 'video_features');
      const { config, parameters, patches, expected } = loaded;
      const fused = fuse(config, parameters, {
        audio: encode(config, parameters, 'audio', patches('audio')),
        video: encode(config, parameters, 'video', patches('video')),
      });
      expectClose(fused.audio!, expected('audio_fused'), bound);
      expectClose(fused.video!, expected('video_fused'), bound);
      const both = { audio: patches('audio'), video: patches('video') };
      const logits = audioVideoClassifierForward(config, parameters, both);
      expectClose(logits, expected('logits'), bound);
    }));

  it.each(['audio', 'video'] as const)('MAViL, its %s encoder alone', (modality) =>
    withCase('mavil', { as: modality }, (loaded) => {
      expect(modalities(loaded.config)).toEqual([modality]);
      expectTokens(loaded, modality, `${modality}_features`);
    }),
  );

  it("SpatiotemporalMAE: features, and predictions with the decoder's own class token", () =>
    withCase('mae_st', {}, (loaded) => {
      expectTokens(loaded, 'video', 'features');
      expectPredictions(loaded, { video: ['order', 'prediction'] });
    }));

  it('SpatiotemporalMAE, fine-tuned: features and classes', () =>
    withCase('mae_st-classifier', {}, (loaded) => {
      expectTokens(loaded, 'video', 'features');
      expectLogits(loaded, 'video');
    }));

  it('CAV-MAE: single passes and joint predictions', () =>
    withCase('cav-mae', {}, (loaded) => {
      const { config, parameters, patches, expected } = loaded;
      const encoded = {
        audio: encode(config, parameters, 'audio', patches('audio')),
        video: encode(config, parameters, 'video', patches('video')),
      };
      const single = unimodalTokens(config, parameters, encoded);
      expectClose(single.audio!, expected('audio_features'), bound);
      expectClose(single.video!, expected('video_features'), bound);
      expectPredictions(loaded, {
        audio: ['audio_order', 'audio_prediction'],
        video: ['video_order', 'video_prediction'],
      });
    }));

  it('CAV-MAE, fine-tuned, on both', () =>
    withCase('cav-mae-classifier', {}, ({ config, parameters, patches, expected }) => {
      const both = { audio: patches('audio'), video: patches('video') };
      const logits = audioVideoClassifierForward(config, parameters, both);
      expectClose(logits, expected('logits'), bound);
    }));

  it.each(['audio', 'video'] as const)('CAV-MAE, fine-tuned, on %s alone', (modality) =>
    withCase('cav-mae-classifier', { as: modality }, (loaded) => {
      expectTokens(loaded, modality, `${modality}_features`);
      expectLogits(loaded, modality, `${modality}_logits`);
    }),
  );
});

describe('DiffMavil.fromPretrained', () => {
  beforeAll(devices[0]!.use);

  it('takes the safetensors file of another project, with its class names', async () => {
    const model = await DiffMavil.fromPretrained(`${folderOf('hf-vit')}/model.safetensors`);
    const size = 20;
    const data = Float32Array.from({ length: size * size * 3 }, (_, i) => (i * 37) % 256);
    const [best] = await model.classify(
      { frames: { data, frames: 1, height: size, width: size }, frameRate: 1 },
      { top: 1 },
    );
    expect(['ant', 'bee', 'cow']).toContain(best?.label);
    model.dispose();
  });
});
