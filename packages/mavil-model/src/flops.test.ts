// SPDX-License-Identifier: Apache-2.0
// The integers come from an enumeration of the paper's Table 5 (docs/paper-map.md); 12 of 12 published ratios match.
import { describe, expect, it } from 'vitest';

import { defineModel, modalities, patchValues, targetValues, tokenCount } from './config.ts';
import { countMacs, countMacsOverCurriculum, macRatios } from './flops.ts';
import type { MacCounts } from './flops.ts';
import { maskRatioOf, maskRatiosAt, visibleTokenCount } from './masking.ts';
import { presetMasking, presets } from './presets.ts';
import type { PresetName } from './presets.ts';

const row = (macs: MacCounts): number[] => [
  macs.audioEncoder,
  macs.audioDecoder,
  macs.videoEncoder,
  macs.videoDecoder,
  macs.fusion,
  macs.total,
];
const familyWithoutClassTokens = (Object.keys(presets) as PresetName[]).filter(
  (name) => !presets[name].encoder.classToken,
);
const mavil = countMacs(presets['paper-mavil'], 0.8);
const { curriculum, epochs } = presetMasking['paper-r3'];
const r3 = countMacsOverCurriculum(presets['paper-r3'], curriculum, epochs);

describe('countMacs, canonical', () => {
  it('counts MAViL', () => {
    expect(row(mavil)).toEqual([
      17_810_866_176, 13_059_227_648, 58_630_311_936, 60_340_699_136, 6_403_722_240,
      156_244_827_136,
    ]);
  });

  it('counts row R1', () => {
    expect(row(countMacs(presets['paper-r1'], 0.8))).toEqual([
      17_730_256_896, 13_112_967_168, 57_149_853_696, 60_834_185_216, 6_403_722_240,
      155_230_985_216,
    ]);
  });

  it('counts row R2', () => {
    expect(row(countMacs(presets['paper-r2'], 0.8))).toEqual([
      17_730_256_896, 13_112_967_168, 57_149_853_696, 31_960_064_000, 6_403_722_240,
      126_356_864_000,
    ]);
  });

  it('counts row R3 as the mean of its curriculum', () => {
    expect(row(r3).map(Math.round)).toEqual([
      13_198_945_075, 13_106_230_067, 42_253_811_712, 32_632_720_589, 4_711_006_413,
      105_902_713_856,
    ]);
  });

  it('rounds to all twelve published ratios of rows R2 and R3 [DiffMAViL Table 5]', () => {
    const rounded = (macs: MacCounts): number[] =>
      row(macRatios(macs, mavil)).map((ratio) => Math.round(ratio * 100) / 100);
    expect(rounded(countMacs(presets['paper-r2'], 0.8))).toEqual([1, 1, 0.97, 0.53, 1, 0.81]);
    expect(rounded(r3)).toEqual([0.74, 1, 0.72, 0.54, 0.74, 0.68]);
  });

  it('counts MAViL with a cross decoder, as App. A has it', () => {
    const { decoder } = presets['paper-mavil'];
    const cross = defineModel({
      ...presets['paper-mavil'],
      decoder: { ...decoder, videoAttention: 'cross' },
    });
    const { videoDecoder, total } = macRatios(countMacs(cross, 0.8), mavil);
    // By the formulas of the enumeration: .5215 and .8152.
    expect([videoDecoder.toFixed(4), total.toFixed(4)]).toEqual(['0.5215', '0.8152']);
  });

  it.each(familyWithoutClassTokens)('differs from exact by what it says: %s', (name) => {
    const config = presets[name];
    const ratios = maskRatiosAt(presetMasking[name].curriculum, 0, presetMasking[name].epochs);
    const exact = countMacs(config, ratios, { accounting: 'exact' });
    const difference = modalities(config).map((m) => {
      const all = tokenCount(config, m);
      const visible = visibleTokenCount(config, m, maskRatioOf(ratios, m));
      const views = config.loss.intraWeight > 0 ? 2 : 1;
      const embedded = (config.masked.kind === 'diffused' ? visible : all) - views * visible;
      const { width, videoAttention, context } = config.decoder;
      const everyToken = context === 'fused' && !(m === 'video' && videoAttention === 'cross');
      const head = everyToken ? visible * width * targetValues(config, m) : 0;
      return embedded * patchValues(config, m) * config.encoder.width + head;
    });
    expect(countMacs(config, ratios).total - exact.total).toBe(
      difference.reduce((sum, macs) => sum + macs, 0),
    );
  });

  it('gives a missing modality no MACs', () => {
    const { videoEncoder, videoDecoder, fusion } = countMacs(presets.audiomae, 0.8);
    expect([videoEncoder, videoDecoder, fusion]).toEqual([0, 0, 0]);
  });
});

describe('countMacs, exact', () => {
  const exact = (name: 'paper-mavil' | 'paper-r2' | 'mavil-v1'): MacCounts =>
    countMacs(presets[name], 0.8, { accounting: 'exact' });

  it('embeds the visible patches of both views', () => {
    const { audioEncoder, videoEncoder } = countMacs(presets['paper-r2'], 0.8);
    expect(exact('paper-r2').audioEncoder - audioEncoder).toBe(102 * 256 * 768);
    expect(exact('paper-r2').videoEncoder - videoEncoder).toBe(313 * 1536 * 768);
  });

  it('runs the head on masked tokens only', () => {
    expect(mavil.videoDecoder - exact('paper-mavil').videoDecoder).toBe(313 * 512 * 768);
  });

  it('counts class tokens', () => {
    const block = (n: number): number => 12 * n * 768 * 768 + 2 * n * n * 768;
    expect(exact('mavil-v1').audioEncoder).toBe(24 * block(103) + 2 * 102 * 256 * 768);
    expect(exact('mavil-v1').fusion).toBe(2 * block(103 + 157));
  });

  it("counts AudioMAE's windows as windows, and the MLP behind their bias", () => {
    const canonical = (name: 'audiomae' | 'audiomae-swin'): number =>
      countMacs(presets[name], 0.8).audioDecoder;
    expect(canonical('audiomae-swin')).toBe(canonical('audiomae'));
    const [swin, plain] = (['audiomae-swin', 'audiomae'] as const).map(
      (name) => countMacs(presets[name], 0.8, { accounting: 'exact' }).audioDecoder,
    );
    // 16 blocks, 16 x 16 pairs of tokens, 2 -> 384 -> 16 heads.
    expect(swin! - plain!).toBe(16 * 256 * 384 * (2 + 16));
  });

  it('counts the class token that a decoder mixes in', () => {
    const { 'mavil-v1': preset } = presets;
    const decoder = { ...preset.decoder, classToken: 'encoder' } as const;
    const withToken = countMacs(defineModel({ ...preset, decoder }), 0.8, { accounting: 'exact' });
    const block = (n: number): number => 12 * n * 512 * 512 + 2 * n * n * 512;
    expect(withToken.audioDecoder - exact('mavil-v1').audioDecoder).toBe(
      8 * (block(513) - block(512)) + 768 * 512,
    );
  });
});
