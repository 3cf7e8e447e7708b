// SPDX-License-Identifier: Apache-2.0
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { main } from './main.ts';

const work = mkdtempSync(join(tmpdir(), 'diffmavil-convert-'));
afterAll(() => rmSync(work, { recursive: true }));

const folderOf = (name: string): string =>
  new URL(`../../../../conformance/golden/fixtures/interop/${name}`, import.meta.url).pathname;

async function convert(...args: string[]): Promise<{ code: number; out: string[]; err: string[] }> {
  const [out, err]: [string[], string[]] = [[], []];
  const code = await main(['convert', ...args], {
    stdout: (line) => out.push(line),
    stderr: (line) => err.push(line),
    isTerminal: false,
  });
  return { code, out, err };
}

describe('diffmavil convert', () => {
  it('writes a model folder and says what became of the file', async () => {
    const folder = join(work, 'videomae');
    const { code, out } = await convert(
      '--in',
      folderOf('hf-videomae-classifier'),
      '--out',
      folder,
    );
    expect(code).toBe(0);
    expect(out).toEqual([
      `${folder}: a Hugging Face VideoMAE, 36 tensors mapped`,
      'not in the file, set to 0 or computed: video_encoder.positions, video_encoder.blocks.0.attn.qkv.bias, ' +
        'video_encoder.blocks.1.attn.qkv.bias',
    ]);
    expect(readdirSync(folder).toSorted()).toEqual([
      'config.json',
      'model.safetensors',
      'preprocessor.json',
    ]);
  });

  it('prints the same as JSON, every name of it', async () => {
    const folder = join(work, 'sound');
    const { out } = await convert(
      '--in',
      folderOf('cav-mae'),
      '--out',
      folder,
      '--as',
      'audio',
      '--json',
    );
    const summary = JSON.parse(out.join('')) as { mapped: number; ignored: string[] };
    expect(summary).toMatchObject({ format: 'a CAV-MAE', initialized: [] });
    expect(summary.mapped + summary.ignored.length).toBe(167);
  });

  it('refuses in one sentence and writes nothing', async () => {
    const folder = join(work, 'none');
    const { code, err } = await convert(
      '--in',
      folderOf('mae_st'),
      '--out',
      folder,
      '--as',
      'audio',
    );
    expect(code).toBe(1);
    expect(err).toEqual([
      `diffmavil convert: weights: expected a model that can be converted to audio in ${folderOf('mae_st')}/model.safetensors, ` +
        'taken for a SpatiotemporalMAE (mae_st), got one of video',
    ]);
    expect(existsSync(folder)).toBe(false);
    expect((await convert('--in', 'x', '--out', folder, '--as', 'sound')).err).toEqual([
      "diffmavil convert: expected --as to be audio or video, got 'sound'. Try: diffmavil convert --help",
    ]);
    expect((await convert('x')).code).toBe(2);
  });
});
