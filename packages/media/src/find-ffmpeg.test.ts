// SPDX-License-Identifier: Apache-2.0
import { afterEach, describe, expect, it, vi } from 'vitest';

import { dirname } from 'node:path';

import { findFfmpeg, hasSoxr } from './find-ffmpeg.ts';

const hint = 'Try: apt install ffmpeg, brew install ffmpeg, or set DIFFMAVIL_FFMPEG to its path.';

describe('findFfmpeg', () => {
  afterEach(() => vi.unstubAllEnvs());

  it('finds both programs on PATH, and the same by file and by folder', () => {
    const found = findFfmpeg();
    expect(found.ffmpeg).toMatch(/ffmpeg(\.exe)?$/);
    expect(found.ffprobe).toMatch(/ffprobe(\.exe)?$/);
    expect(findFfmpeg(found.ffmpeg)).toEqual(found);
    expect(findFfmpeg(dirname(found.ffmpeg))).toEqual(found);
  });

  it('takes the environment variable before PATH, and never skips a wrong one', () => {
    const { ffmpeg } = findFfmpeg();
    vi.stubEnv('DIFFMAVIL_FFMPEG', '/nowhere/ffmpeg');
    expect(() => findFfmpeg()).toThrow(
      'findFfmpeg: expected an ffmpeg executable, got nothing executable at "/nowhere/ffmpeg" ' +
        `(DIFFMAVIL_FFMPEG). ${hint}`,
    );
    expect(findFfmpeg(ffmpeg).ffmpeg).toBe(ffmpeg);
  });

  it('says how to install it when PATH has none', () => {
    vi.stubEnv('DIFFMAVIL_FFMPEG', '');
    vi.stubEnv('PATH', '/nowhere');
    expect(() => findFfmpeg()).toThrow(
      `findFfmpeg: expected an ffmpeg executable, got none on PATH. ${hint}`,
    );
  });

  it('asks the build for soxr once', async () => {
    const { ffmpeg } = findFfmpeg();
    const asked = hasSoxr(ffmpeg);
    expect(hasSoxr(ffmpeg)).toBe(asked);
    expect(typeof (await asked)).toBe('boolean');
  });
});
