// SPDX-License-Identifier: Apache-2.0
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { CheckpointError, disposeTree, makeKey, normals } from '@diffmavil/core';
import { devices, expectNoLeak } from '@diffmavil/testkit';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';

import { initializeHead, initializeParameters } from '../parameters.ts';
import { defaultPreprocessor } from '../preprocessor.ts';
import { presets } from '../presets.ts';
import { readSafetensors, writeSafetensors } from '../safetensors.ts';
import { loadModelFolder, saveModelFolder } from './model-folder.ts';
import type { ModelFolder } from './model-folder.ts';
import { DiffMavil } from './pretrained.ts';

beforeAll(devices[0]!.use);

let place = '';
beforeEach(async () => {
  place = await mkdtemp(join(tmpdir(), 'model-folder-'));
});
afterEach(() => rm(place, { recursive: true }));

const config = presets.tiny;
const make = (seed: number): ModelFolder => ({
  config,
  parameters: {
    ...initializeParameters(config, makeKey(seed)),
    ...initializeHead(config, 'audio', 2, makeKey(seed)),
  },
  preprocessor: { ...defaultPreprocessor(config), labels: ['bell', 'größer'], task: 'multi-label' },
});

async function saved(seed: number = 1): Promise<string> {
  const folder = join(place, 'models', 'bells');
  const parts = make(seed);
  await saveModelFolder(folder, parts);
  disposeTree(parts.parameters);
  return folder;
}

const refusal = async (folder: string): Promise<string> => {
  try {
    const { parameters } = await loadModelFolder(folder);
    disposeTree(parameters);
    return 'nothing';
  } catch (error) {
    return error instanceof CheckpointError ? error.message : String(error);
  }
};

describe('a model folder', () => {
  it('gives back configuration, every weight, labels', async () => {
    await expectNoLeak(async () => {
      const folder = await saved();
      const loaded = await loadModelFolder(folder);
      const original = make(1);
      expect(loaded.config).toEqual(config);
      expect(loaded.preprocessor).toEqual(original.preprocessor);
      expect(Object.keys(loaded.parameters).toSorted()).toEqual(
        Object.keys(original.parameters).toSorted(),
      );
      for (const [name, weight] of Object.entries(original.parameters)) {
        expect(loaded.parameters[name]!.shape).toEqual(weight.shape);
        expect(loaded.parameters[name]!.dataSync()).toEqual(weight.dataSync());
      }
      disposeTree([loaded, original]);
    });
  });

  it('holds three files and leaves nothing beside it, also when it replaces another', async () => {
    await saved(1);
    const folder = await saved(2);
    expect((await readdir(folder)).toSorted()).toEqual([
      'config.json',
      'model.safetensors',
      'preprocessor.json',
    ]);
    expect(await readdir(join(place, 'models'))).toEqual(['bells']);
    const { parameters } = await loadModelFolder(folder);
    const { parameters: second } = make(2);
    const name = 'audio_encoder.patch_embed.weight';
    expect(parameters[name]!.dataSync()).toEqual(second[name]!.dataSync());
    disposeTree([parameters, second]);
  });

  it('is not touched when the new parts do not fit', async () => {
    const folder = await saved();
    const parts = make(2);
    const { 'fusion.norm.bias': gone, ...rest } = parts.parameters;
    await expect(saveModelFolder(folder, { ...parts, parameters: rest })).rejects.toThrow(
      'saveModelFolder: parameters: expected the weights of this model, got missing fusion.norm.bias. ' +
        'Try: the config.json that was saved with these weights',
    );
    expect(gone!.shape).toEqual([24]);
    expect(await refusal(folder)).toBe('nothing');
    disposeTree(parts.parameters);
  });

  it('names a file that is missing', async () => {
    const folder = await saved();
    const file = join(folder, 'preprocessor.json');
    await rm(file);
    expect(await refusal(folder)).toBe(
      `model folder: expected a readable file ${file}, got ENOENT`,
    );
    expect(await refusal(join(place, 'none'))).toBe(
      `model folder: expected a readable file ${join(place, 'none', 'config.json')}, got ENOENT`,
    );
  });

  it('names a file that is damaged', async () => {
    const folder = await saved();
    const weights = join(folder, 'model.safetensors');
    const bytes = await readFile(weights);
    await writeFile(weights, bytes.subarray(0, -4));
    expect(await refusal(folder)).toBe(
      `safetensors: expected ${bytes.length} bytes in ${weights}, got ${bytes.length - 4}`,
    );
    const configFile = join(folder, 'config.json');
    await writeFile(configFile, '{"encoder"');
    expect(await refusal(folder)).toBe(`${configFile}: expected JSON, got "{\\"encoder\\""`);
    await writeFile(configFile, '{"encoder":{"width":7}}');
    expect(await refusal(folder)).toBe(
      `${configFile}: defineModel: expected a valid model configuration, got 2 faults: ` +
        'encoder.width: expected a multiple of encoder.heads (12), got 7; ' +
        'encoder.width: expected a multiple of 4 (sine and cosine on two axes), got 7',
    );
  });

  it("knows another project's folder", async () => {
    const folder = await saved();
    const configFile = join(folder, 'config.json');
    await writeFile(configFile, '{"model_type":"vit_mae","architectures":["ViTMAEModel"]}');
    expect(await refusal(folder)).toBe(
      `${configFile}: expected the configuration of a diffmavil model, got one of another project. ` +
        `Try: diffmavil convert --in ${folder}`,
    );
  });

  it('names weights that are missing, unknown or not floats', async () => {
    const folder = await saved();
    const weights = join(folder, 'model.safetensors');
    const { 'audio_head.norm.bias': norm, ...rest } = readSafetensors(await readFile(weights));
    await writeFile(weights, writeSafetensors({ ...rest, 'audio_head.other': norm! }));
    expect(await refusal(folder)).toBe(
      `${weights}: expected the weights of this model, got missing audio_head.norm.bias; unknown audio_head.other. ` +
        'Try: the config.json that was saved with these weights',
    );
    await writeFile(weights, writeSafetensors({ step: { shape: [], data: Int32Array.of(1) } }));
    expect(await refusal(folder)).toBe(`${weights}: expected float weights, got step of type I32`);
  });

  it('names a preprocessor that is out of form', async () => {
    const folder = await saved();
    const file = join(folder, 'preprocessor.json');
    await writeFile(file, '{"audio":null,"video":null,"labels":[],"task":null}');
    expect(await refusal(folder)).toMatch(
      /^.*preprocessor\.json: expected a preprocessor that fits the model, got labels: .*$/,
    );
  });
});

describe('DiffMavil.fromPretrained', () => {
  it('embeds and classifies from a folder', async () => {
    await expectNoLeak(async () => {
      const model = await DiffMavil.fromPretrained(await saved());
      const waveform = normals(makeKey(3), 16000);
      expect(await model.embedAudio(waveform, 16000)).toHaveLength(24);
      const classes = await model.classify({ waveform, sampleRate: 16000 });
      expect(classes.map(({ label }) => label).toSorted()).toEqual(['bell', 'größer']);
      model.dispose();
    });
  });
});
