// SPDX-License-Identifier: Apache-2.0
// What the files hold is tested in @diffmavil/model; here, that the command writes them and says so.
import { mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { disposeTree, makeKey } from '@diffmavil/core';
import {
  type ModelConfig,
  defaultPreprocessor,
  defineModel,
  initializeParameters,
  presets,
  readSafetensors,
} from '@diffmavil/model';
import { saveModelFolder } from '@diffmavil/model/node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { useBackend } from './backend.ts';
import { command } from './export.ts';

const work = mkdtempSync(join(tmpdir(), 'diffmavil-export-'));
const [plain, image] = [join(work, 'plain'), join(work, 'image')];

beforeAll(async () => {
  await useBackend('cpu');
  await save(plain, presets.tiny);
  const { encoder } = presets.tiny;
  await save(image, defineModel({ ...presets.tiny, encoder: { ...encoder, classToken: true } }));
});
afterAll(() => rmSync(work, { recursive: true }));

async function save(folder: string, config: ModelConfig): Promise<void> {
  const parameters = initializeParameters(config, makeKey(1));
  await saveModelFolder(folder, { config, parameters, preprocessor: defaultPreprocessor(config) });
  disposeTree(parameters);
}

async function run(...args: string[]): Promise<string> {
  const lines: string[] = [];
  const context = {
    stdout: (line: string) => void lines.push(line),
    stderr: () => {},
    isTerminal: false,
  };
  expect(await command.run(args, context)).toBe(0);
  return lines.join('\n');
}

describe('diffmavil export', () => {
  it('writes an ONNX file and says what goes in and out', async () => {
    const out = join(work, 'audio.onnx');
    const json = await run('--model', plain, '--out', out, '--modality', 'audio', '--json');
    expect(JSON.parse(json)).toEqual({
      out,
      format: 'onnx',
      sizeBytes: statSync(out).size,
      modality: 'audio',
      opset: 17,
      inputs: { patches: ['batch', 64, 64] },
      outputs: { embedding: ['batch', 24] },
    });
    expect(await run('--model', plain, '--out', out)).toBe(
      `${out}: onnx, 0.2 MiB; audio_patches [batch, 64, 64], video_patches [batch, 32, 384]` +
        ' -> audio_embedding [batch, 24], video_embedding [batch, 24]',
    );
  });

  it('writes a folder for Hugging Face, over an older one but over nothing else', async () => {
    const out = join(work, 'hugging-face');
    for (let times = 0; times < 2; times++) {
      const said = await run('--model', image, '--out', out, '--format', 'hf-vitmae');
      expect(said).toBe(`${out}: hf-vitmae, 0.1 MiB`);
    }
    expect(readdirSync(out).toSorted()).toEqual(['config.json', 'model.safetensors']);
    const tensors = readSafetensors(readFileSync(join(out, 'model.safetensors')));
    expect(tensors['vit.embeddings.position_embeddings']!.shape).toEqual([1, 65, 24]);
    writeFileSync(join(out, 'notes.txt'), 'mine');
    await expect(run('--model', image, '--out', out, '--format', 'hf-vitmae')).rejects.toThrow(
      `export: expected an empty or a new folder, got ${out} with notes.txt in it`,
    );
  });

  it('refuses what cannot be', async () => {
    const out = join(work, 'none.onnx');
    await expect(run('--model', plain, '--out', out, '--head')).rejects.toThrow(
      'exportOnnx: expected the classification head av_head, got none. ' +
        'Try: fine-tune the model first, or export without the head',
    );
    await expect(
      run('--model', plain, '--out', out, '--format', 'hf-vitmae', '--head'),
    ).rejects.toThrow('expected --format onnx with --head, got hf-vitmae');
    await expect(run('--model', plain, '--out', out, '--format', 'onxn')).rejects.toThrow(
      "expected --format to be onnx or hf-vitmae or hf-videomae, got 'onxn'",
    );
    expect(readdirSync(work)).not.toContain('none.onnx');
  });
});
