// SPDX-License-Identifier: Apache-2.0
// What conversion says of files and refuses; the numbers it makes are compared in conformance/interop.test.ts.
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { devices } from '@diffmavil/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { convertWeights, readForeignFile } from '../node/foreign-file.ts';
import { loadModelFolder } from '../node/model-folder.ts';
import { DiffMavil } from '../node/pretrained.ts';
import type { SafeTensor } from '../safetensors.ts';
import { convertForeign } from './convert.ts';
import { ForeignWeights } from './foreign-weights.ts';
import type { ForeignFile } from './foreign-weights.ts';
import { audioSize, decoderHeads, encoderHeads } from './sizes.ts';

const folderOf = (name: string): string =>
  new URL(`../../../../conformance/golden/fixtures/interop/${name}`, import.meta.url).pathname;
const work = mkdtempSync(join(tmpdir(), 'diffmavil-convert-'));
afterAll(() => rmSync(work, { recursive: true }));

const zeros = (...shape: number[]): SafeTensor => ({
  dtype: 'F32',
  shape,
  data: new Float32Array(shape.reduce((p, n) => p * n, 1)),
});
const named = async (name: string, change: (file: ForeignFile) => object): Promise<ForeignFile> => {
  const file = { ...(await readForeignFile(folderOf(name))), source: 'w.safetensors' };
  return { ...file, ...change(file) };
};
const without = (file: ForeignFile, lost: string): object => ({
  tensors: Object.fromEntries(Object.entries(file.tensors).filter(([name]) => name !== lost)),
});

describe('convertForeign', () => {
  it('says what it mapped, left out and made up', async () => {
    const { summary, config } = convertForeign(await readForeignFile(folderOf('hf-videomae')));
    expect(summary).toEqual({
      format: 'a Hugging Face VideoMAE',
      mapped: 55,
      ignored: [],
      initialized: [
        'video_encoder.positions',
        'video_encoder.blocks.0.attn.qkv.bias',
        'video_encoder.blocks.1.attn.qkv.bias',
        'video_decoder.embed.bias',
        'video_decoder.positions',
        'video_decoder.blocks.0.attn.qkv.bias',
      ],
    });
    expect(config.encoder).toMatchObject({ heads: 2, normEpsilon: 1e-12, positions: 'learned' });
    expect(config.video).toMatchObject({ frames: 4, size: 16, tubelet: 2, patch: 4 });
  });

  it('leaves out the other modality, the shared decoder and unused norms of a CAV-MAE', async () => {
    const { summary } = convertForeign(await readForeignFile(folderOf('cav-mae')), { as: 'audio' });
    const kept = ['patch_embed_a.proj.weight', 'blocks_u.0.norm1_a.weight', 'norm_a.weight'];
    for (const name of kept) expect(summary.ignored).not.toContain(name);
    const lost = [
      'patch_embed_v.proj.weight',
      'decoder_pred_a.weight',
      'blocks_a.0.norm1_v.weight',
    ];
    for (const name of lost) expect(summary.ignored).toContain(name);
  });

  it('makes an image model one of video: kernels inflated, positions repeated, the decoder kept', async () => {
    const image = await readForeignFile(folderOf('hf-vitmae'));
    const { config, weights, preprocessor } = convertForeign(image, { as: 'video' });
    expect(config.video).toEqual({ frames: 16, size: 16, tubelet: 2, patch: 4, predictFrames: 8 });
    expect(weights['video_encoder.patch_embed.weight']?.shape).toEqual([16, 96]);
    expect(weights['video_encoder.positions']?.shape).toEqual([1, 128, 16]);
    expect(weights['video_decoder.head.weight']?.shape).toEqual([48, 12]);
    expect(preprocessor.labels).toBeNull();
    const central = convertForeign(image, { as: 'video', inflate: 'central' }).weights;
    const [first, second] = [0, 48].map((from) =>
      central['video_encoder.patch_embed.weight']!.data.subarray(from, from + 48),
    );
    expect(first!.every((x) => x === 0)).toBe(true);
    expect(second!.some((x) => x !== 0)).toBe(true);
  });

  it("reads AST's statistics and both class tokens", async () => {
    const { config, preprocessor } = convertForeign(await readForeignFile(folderOf('hf-ast')));
    expect(config.audio).toEqual({ frames: 20, mels: 14, patch: 4, stride: 3 });
    expect(config.classifier).toMatchObject({ pooling: 'class-tokens', finalNorm: true });
    expect(config.encoder).toMatchObject({ classToken: true, distillationToken: true });
    expect(preprocessor.audio).toMatchObject({ mean: -4.2677393, std: 4.5689974 });
  });

  it('takes many classes that are not exclusive for AudioSet', async () => {
    const file = await named('timm-audiomae', ({ tensors }) => ({
      tensors: { ...tensors, 'head.weight': zeros(527, 16), 'head.bias': zeros(527) },
    }));
    const { preprocessor } = convertForeign(file);
    expect(preprocessor.task).toBe('multi-label');
    expect(preprocessor.labels?.[526]).toBe('class 526');
  });

  it.each<[string, () => Promise<ForeignFile>, string]>([
    [
      'a file of something else',
      async () => ({
        source: 'w.safetensors',
        tensors: { 'wte.weight': zeros(2, 2), 'wpe.weight': zeros(2, 2) },
      }),
      'weights: expected the weights of a CAV-MAE, a MAViL (inference copy), a SpatiotemporalMAE (mae_st), ' +
        'a timm ViT, MAE or AudioMAE, a Hugging Face VideoMAE, a Hugging Face AST, a Hugging Face ViT or ViT-MAE ' +
        'in w.safetensors, got 2 tensors such as wte.weight, wpe.weight',
    ],
    [
      'a model of our own',
      async () => ({
        source: 'w.safetensors',
        tensors: { 'audio_encoder.patch_embed.weight': zeros(2, 2) },
      }),
      'weights: expected weights of another project in w.safetensors, got a model of diffmavil. ' +
        'Try: use its folder as it is',
    ],
    [
      'a file that lacks a weight',
      () => named('timm-vit', (file) => without(file, 'blocks.1.mlp.fc2.weight')),
      'weights: expected blocks.1.mlp.fc2.weight in w.safetensors, taken for a timm ViT, MAE or AudioMAE, ' +
        'got 31 tensors such as blocks.0.attn.proj.bias, blocks.0.attn.proj.weight, blocks.0.attn.qkv.bias, ' +
        'blocks.0.attn.qkv.weight and 27 more',
    ],
    [
      'weights it knows no place for',
      () =>
        named('timm-vit', ({ tensors }) => ({
          tensors: { ...tensors, 'blocks.0.ls1.gamma': zeros(16) },
        })),
      'weights: expected no weights but those it knows in w.safetensors, taken for a timm ViT, MAE or AudioMAE, ' +
        'got also blocks.0.ls1.gamma',
    ],
    [
      'a width without its heads',
      () => named('timm-vit', () => ({ config: {} })),
      'weights: expected "num_attention_heads" in a config.json beside weights of width 16 in w.safetensors, ' +
        'taken for a timm ViT, MAE or AudioMAE, got none',
    ],
    [
      'heads that do not divide the width',
      () => named('timm-vit', () => ({ config: { num_attention_heads: 3 } })),
      'weights: w.safetensors: defineModel: expected a valid model configuration, got 1 fault: ' +
        'encoder.width: expected a multiple of encoder.heads (3), got 16',
    ],
    [
      'another activation',
      () => named('hf-vit', ({ config }) => ({ config: { ...config, hidden_act: 'quick_gelu' } })),
      'weights: expected "hidden_act": "gelu" in w.safetensors, taken for a Hugging Face ViT or ViT-MAE, got "quick_gelu"',
    ],
    [
      'positions that fit no spectrogram',
      () => named('timm-audiomae', () => ({ config: { num_mel_bins: 28 } })),
      'weights: expected positions on a grid of 7 frequencies ("num_mel_bins" 28, patch 4, stride 4) in w.safetensors, ' +
        'taken for a timm ViT, MAE or AudioMAE, got 12 positions',
    ],
    [
      'an image model whose decoder places its class token',
      () =>
        named('hf-vitmae', ({ tensors }) => ({
          tensors: {
            ...tensors,
            'decoder.decoder_pos_embed': {
              ...zeros(1, 17, 12),
              data: new Float32Array(204).fill(1),
            },
          },
        })),
      "weights: expected zeros as the class token's position in decoder.decoder_pos_embed in w.safetensors, " +
        'taken for a Hugging Face ViT or ViT-MAE, got other numbers',
    ],
  ])('refuses %s', async (_, file, message) => {
    const foreign = await file();
    expect(() => convertForeign(foreign)).toThrow(
      expect.objectContaining({ kind: 'Checkpoint', message }),
    );
  });

  it.each<[string, (name: string) => string]>([
    ['its Hub names', (name) => name.replace('decoder_encoder.layer', 'decoder_layers')],
    ["a wrapper's prefixes", (name) => `module.model.${name}`],
    [
      'the names of its classes in memory',
      (name) =>
        name
          .replace(/^vit.encoder.layer/, 'vit.layers')
          .replace('decoder_encoder.layer', 'decoder_layers')
          .replace(
            /attention\.attention\.(query|key|value)/,
            (_, part: string) => `attention.${part.charAt(0)}_proj`,
          )
          .replace('attention.output.dense', 'attention.o_proj')
          .replace('intermediate.dense', 'mlp.fc1')
          .replace('output.dense', 'mlp.fc2'),
    ],
  ])('reads a ViT-MAE under %s', async (_, rename) => {
    const file = await named('hf-vitmae', ({ tensors }) => ({
      tensors: Object.fromEntries(
        Object.entries(tensors).map(([name, tensor]) => [rename(name), tensor]),
      ),
    }));
    const saved = convertForeign(await readForeignFile(folderOf('hf-vitmae')));
    expect(convertForeign(file).weights).toEqual(saved.weights);
  });

  it('refuses sound as video', async () => {
    const file = await named('timm-audiomae', () => ({}));
    expect(() => convertForeign(file, { as: 'video' })).toThrow(
      'weights: expected a model that can be converted to video in w.safetensors, ' +
        'taken for a timm ViT, MAE or AudioMAE, got one of audio',
    );
  });
});

describe('sizes of the published models, without a config.json', () => {
  const bare = new ForeignWeights({ source: 'w', tensors: {} });

  it('are 1024 x 128 for 512 positions, and for 1212 at stride 10 [AudioMAE, AST]', () => {
    const size = { frames: 1024, mels: 128 };
    expect(audioSize(bare, 512, 16, 16)).toEqual({ ...size, times: 64, frequencies: 8 });
    expect(audioSize(bare, 1212, 16, 10)).toEqual({ ...size, times: 101, frequencies: 12 });
  });

  it('are 12, 16 and 16 heads for Base, Large and Huge, 16 in a decoder of 512, 6 in one of 384', () => {
    expect([768, 1024, 1280].map((width) => encoderHeads(bare, width))).toEqual([12, 16, 16]);
    expect([decoderHeads(bare, 512, 32), decoderHeads(bare, 384, 64)]).toEqual([16, 6]);
  });
});

describe('convertWeights', () => {
  beforeAll(devices[0]!.use);

  it('writes a model folder that loads', async () => {
    const out = join(work, 'ast');
    const { format } = await convertWeights({ file: folderOf('hf-ast'), out });
    expect(format).toBe('a Hugging Face AST');
    const { config, parameters, preprocessor } = await loadModelFolder(out);
    expect(preprocessor.labels).toEqual(['LABEL_0', 'LABEL_1', 'LABEL_2']);
    const model = DiffMavil.fromParameters({ config, parameters, preprocessor });
    const sound = Float32Array.from({ length: 4000 }, (_, i) => Math.sin(i / 7));
    const classes = await model.classify({ waveform: sound, sampleRate: 16000 });
    expect(classes.reduce((sum, { score }) => sum + score, 0)).toBeCloseTo(1, 5);
    model.dispose();
  });

  it('writes nothing when it refuses', async () => {
    const [pickled, damaged] = [join(work, 'w.pth'), join(work, 'w.safetensors')];
    writeFileSync(pickled, 'PK');
    writeFileSync(
      damaged,
      readFileSync(`${folderOf('hf-vit')}/model.safetensors`).subarray(0, 9000),
    );
    const out = join(work, 'refused');
    await expect(convertWeights({ file: pickled, out })).rejects.toThrow(
      'weights: expected a safetensors file, got w.pth. ' +
        'Try: save its weights as safetensors, docs/weights.md has the ten lines',
    );
    await expect(convertWeights({ file: damaged, out })).rejects.toThrow(/^safetensors: expected /);
    await expect(convertWeights({ file: join(work, 'none'), out })).rejects.toThrow(
      `weights: expected a safetensors file or a folder with one at ${join(work, 'none')}, got ENOENT`,
    );
    writeFileSync(join(work, 'x.safetensors'), '');
    await expect(convertWeights({ file: work, out })).rejects.toThrow(
      `weights: expected one safetensors file in ${work}, got w.safetensors, x.safetensors`,
    );
    expect(existsSync(out)).toBe(false);
  });
});
