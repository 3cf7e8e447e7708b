// SPDX-License-Identifier: Apache-2.0
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { disposeTree, makeKey } from '@diffmavil/core';
import { findFfmpeg } from '@diffmavil/media';
import {
  type ModelConfig,
  type PartialModelConfig,
  defineModel,
  initializeHead,
  initializeParameters,
  presets,
} from '@diffmavil/model';
import { saveModelFolder } from '@diffmavil/model/node';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { main } from './cli/main.ts';
import { useBackend } from './cli/backend.ts';
import { decodePicture } from './picture.ts';
import { reconstructClip } from './reconstruct.ts';

const folder = mkdtempSync(join(tmpdir(), 'diffmavil-reconstruct-'));
const clip = join(folder, 'clip.mp4');
afterAll(() => rmSync(folder, { recursive: true }));

const preprocessor = {
  audio: { sampleRate: 16_000, mels: 64, frames: 64, mean: -4, std: 4 },
  video: {
    frames: 4,
    size: 32,
    durationSeconds: 1,
    mean: [0.485, 0.456, 0.406] as const,
    std: [0.229, 0.224, 0.225] as const,
  },
  labels: null,
  task: null,
};

/** An untrained model of the tiny preset. */
async function writeModel(name: string, partial: PartialModelConfig = {}): Promise<string> {
  const config = defineModel({ ...(presets.tiny as PartialModelConfig), ...partial });
  const parameters = initializeParameters(config, makeKey(1));
  await saveModelFolder(join(folder, name), { config, parameters, preprocessor });
  disposeTree(parameters);
  return join(folder, name);
}

async function writeClassifier(name: string, config: ModelConfig): Promise<string> {
  const all = initializeParameters(config, makeKey(1));
  const head = initializeHead(config, 'audio', 2, makeKey(1));
  const encoder = Object.entries(all).filter(([key]) => key.startsWith('audio_encoder.'));
  await saveModelFolder(join(folder, name), {
    config,
    parameters: { ...Object.fromEntries(encoder), ...head },
    preprocessor: { ...preprocessor, labels: ['a', 'b'], task: 'single-label' },
  });
  disposeTree([all, head]);
  return join(folder, name);
}

async function run(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const [out, err]: [string[], string[]] = [[], []];
  const code = await main(['reconstruct', '--backend', 'cpu', ...args], {
    stdout: (line) => out.push(line),
    stderr: (line) => err.push(line),
    isTerminal: false,
  });
  return { code, out: out.join('\n'), err: err.join('\n') };
}

let model: string;
beforeAll(async () => {
  await useBackend('cpu');
  const { ffmpeg } = findFfmpeg();
  const source = ['-f', 'lavfi', '-i', 'testsrc=size=64x48:rate=8:duration=1', '-f', 'lavfi'];
  const sound = ['-i', 'sine=frequency=700:duration=1', '-pix_fmt', 'yuv420p', '-shortest', clip];
  execFileSync(ffmpeg, ['-v', 'error', ...source, ...sound]);
  model = await writeModel('model');
});

describe('reconstructClip', () => {
  it('draws rows of the original, the masked and the predicted clip, and scores both modalities', async () => {
    const before = tf.memory().numTensors;
    const { picture, figures } = await reconstructClip({ modelFolder: model, clip, seed: 3 });
    expect(tf.memory().numTensors).toBe(before);
    expect(figures).toMatchObject({ maskRatio: 0.8, timestep: 500, seed: 3 });
    for (const error of [figures.audio!, figures.video!]) {
      expect(error.mse).toBeGreaterThan(0);
      expect(error.flatMse).toBeGreaterThan(0);
      expect(error.sampledMse).toBeNull();
    }
    const { width, data, description } = decodePicture(picture, 'picture');
    expect(description).toBe(
      `clip.mp4: 80 % hidden, predicted from step 500, seed 3; error on hidden patches: ` +
        `video ${figures.video!.mse.toFixed(3)}, sound ${figures.audio!.mse.toFixed(3)}`,
    );
    // 51.2 of the 64 audio patches of 8 x 8 are hidden (52), each 15 x 2 pixels a value; of the 32 video tokens of 2 frames x 8 x 8,
    // 26, each 8 x 8 pixels a value (rounded factors of 960 / 64, 128 / 64 and 960 / (4 * 32)). White paper and black type are grey too.
    const hiddenPixels = 52 * 64 * 15 * 2 + 26 * 2 * 64 * 8 * 8;
    let grey = 0;
    for (let i = 0; i < data.length; i += 3) {
      if (data[i] === 150 && data[i + 1] === 150 && data[i + 2] === 150) grey++;
    }
    expect(grey).toBeGreaterThanOrEqual(hiddenPixels);
    expect(grey).toBeLessThan(hiddenPixels * 1.02);
    expect(width).toBeGreaterThan(960);
  });

  it('hides other patches for another seed', async () => {
    const one = await reconstructClip({ modelFolder: model, clip, seed: 1 });
    const two = await reconstructClip({ modelFolder: model, clip, seed: 2 });
    expect(one.picture).not.toEqual(two.picture);
  });

  it('scores normalised targets in units of their own deviation', async () => {
    const loss = { normalizeTargets: true };
    const modelFolder = await writeModel('normalised', { loss });
    const { figures } = await reconstructClip({ modelFolder, clip });
    // A patch guessed at its own mean is off by its variance, (n - 1) / n of the unbiased one, and less where 1e-6 counts: n = 384 values.
    expect(figures.video!.flatMse).toBeLessThanOrEqual(383 / 384 + 1e-6);
    expect(figures.video!.flatMse).toBeGreaterThan(0.5);
  });

  it('adds a sampled row when asked, and needs no timestep with mask tokens', async () => {
    const plain = await reconstructClip({ modelFolder: model, clip });
    const { picture, figures } = await reconstructClip({
      modelFolder: model,
      clip,
      sampleSteps: 2,
    });
    expect(figures.audio!.sampledMse).toBeGreaterThan(0);
    expect(figures.audio!.bands.pitch!.sampled).toHaveLength(8);
    const path = { sampleSteps: 2, sampler: { kind: 'ddim' }, pathRows: 2 } as const;
    const walked = await reconstructClip({ modelFolder: model, clip, ...path });
    expect(walked.figures.video!.sampledMse).not.toBe(figures.video!.sampledMse);
    expect(decodePicture(walked.picture, 'x').height).toBeGreaterThan(
      decodePicture(picture, 'x').height,
    );
    expect(decodePicture(picture, 'x').height).toBeGreaterThan(
      decodePicture(plain.picture, 'x').height,
    );
    const modelFolder = await writeModel('mask-token', { masked: { kind: 'mask-token' } });
    expect((await reconstructClip({ modelFolder, clip })).figures.timestep).toBeNull();
  });

  it('says what is wrong with options, models and clips', async () => {
    const classifier = await writeClassifier('classifier', presets.tiny);
    await expect(reconstructClip({ modelFolder: classifier, clip })).rejects.toThrow(
      `${classifier}: expected a pre-trained model with decoders, got a classifier. Try: the model folder of a pre-training run`,
    );
    await expect(reconstructClip({ modelFolder: model, clip, maskRatio: 1 })).rejects.toThrow(
      'maskRatio: expected a number above 0 and below 1, got 1',
    );
    await expect(reconstructClip({ modelFolder: model, clip, timestep: 1001 })).rejects.toThrow(
      'timestep: expected a whole number 1..1000, got 1001',
    );
    await expect(reconstructClip({ modelFolder: model, clip, sampleSteps: 1 })).rejects.toThrow(
      'sampleSteps: expected a whole number 2..1000, got 1',
    );
    await expect(reconstructClip({ modelFolder: model, clip, pathRows: 1 })).rejects.toThrow(
      'pathRows: expected 0 without sampleSteps, got 1',
    );
  });
});

describe('diffmavil reconstruct', () => {
  it('writes the picture and says what to open', async () => {
    const out = join(folder, 'pictures', 'a.png');
    const { code, out: text, err } = await run('--model', model, clip, '--out', out);
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(text).toContain(`Open ${out} to see it.`);
    expect(text).toMatch(/video {2}error on hidden patches \d\.\d{4} \(a flat guess: \d\.\d{4}\)/);
    expect(text).toMatch(
      /\n {4}low to high pitch, one step +(\d+\.\d\d *){8}\n {4}coarse to fine, one step +/,
    );
    expect(existsSync(out)).toBe(true);
  });

  it('prints the figures as JSON, and draws the same picture again', async () => {
    const out = join(folder, 'b.png');
    const { code, out: text } = await run('--model', model, clip, '--out', out, '--json');
    expect(code).toBe(0);
    const { figures, picture } = await reconstructClip({ modelFolder: model, clip });
    expect(JSON.parse(text)).toEqual({ out, ...figures });
    expect(new Uint8Array(readFileSync(out))).toEqual(picture);
  });

  it('answers bad usage with 2, and a clip it cannot read with 1 and one sentence', async () => {
    const out = join(folder, 'c.png');
    expect(await run('--model', model, '--out', out)).toMatchObject({
      code: 2,
      err: 'diffmavil reconstruct: expected one clip, got 0. Try: diffmavil reconstruct --help',
    });
    const given = ['--model', model, clip, '--out', out];
    expect(await run(...given, '--path', '2')).toMatchObject({
      code: 2,
      err: 'diffmavil reconstruct: expected --sample-steps with --sampler, --eta or --path, got none. Try: diffmavil reconstruct --help',
    });
    expect(await run(...given, '--sample-steps', '2', '--eta', '1')).toMatchObject({
      code: 2,
      err: 'diffmavil reconstruct: expected --sampler ddim with --eta, got ddpm. Try: diffmavil reconstruct --help',
    });
    const text = join(folder, 'text.mp4');
    writeFileSync(text, 'not a clip');
    const { code, err } = await run('--model', model, text, '--out', out);
    expect(code).toBe(1);
    expect(err).toBe(
      `diffmavil reconstruct: decodeClip: expected a clip at "${text}", got something ffmpeg cannot read.`,
    );
    expect(existsSync(out)).toBe(false);
  });
});
