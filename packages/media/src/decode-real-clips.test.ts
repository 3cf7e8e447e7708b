// SPDX-License-Identifier: Apache-2.0
// Every real recording at hand, decoded to its end: from 0, or the last 3 s and a bit when it is longer than 9.5 s (quicker,
// and a test of seeking). The table was written with PyAV 18.1 (every frame and sample decoded there) and ffprobe 5.1:
// shown size (rotation and pixel aspect by hand), seconds to the earlier end, counts round(length * 10 fps) and
// round(length * 16 kHz), mean colour of the frame shown halfway, or 1 s after the seek, and root mean square of the
// mean of the channels at the file's own rate.

import { existsSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

import { describe, expect, it } from 'vitest';

import { decodeClip } from './decode-clip.ts';
import { probeClip } from './probe-clip.ts';

type Row = readonly [
  file: string,
  shown: readonly [width: number, height: number],
  seconds: number,
  decoded: readonly [frames: number, height: number, width: number],
  samples: number | null, // null: no sound
  colour: readonly [red: number, green: number, blue: number],
  loudness: number | null,
];

const table: readonly Row[] = [
  ['clips/av1_video.mkv', [640, 360], 5, [50, 16, 28], null, [123.1, 125.3, 127.7], null],
  [
    'clips/big_buck_bunny_0_30.webm',
    [1280, 720],
    30.003,
    [30, 16, 28],
    48048,
    [105.7, 119.8, 71.8],
    0.0077,
  ],
  ['clips/chrome.mp4', [480, 270], 29.977, [40, 16, 28], 63631, [109.4, 104.4, 45.6], 0.0353],
  ['clips/chrome.ogv', [480, 270], 29.9537, [40, 16, 28], 63260, [109.4, 104.4, 45.8], 0.0353],
  ['clips/crystal.webm', [720, 480], 11.966, [40, 16, 24], 63456, [135.7, 99.6, 71.0], 0.0072],
  ['clips/elf.mp4', [720, 480], 8, [80, 16, 24], 128000, [146.7, 98.0, 56.1], 0.0028],
  [
    'clips/examples_flipping_a_pancake.mkv',
    [426, 240],
    10.333,
    [33, 16, 28],
    53328,
    [146.9, 112.9, 87.2],
    0.029,
  ],
  ['clips/frog.mp4', [720, 480], 8.23333, [82, 16, 24], 131733, [147.9, 97.5, 61.4], 0.0026],
  ['clips/frog.webm', [720, 480], 8.266, [83, 16, 24], 132256, [146.4, 98.0, 62.9], 0.0026],
  ['clips/h264_10bits.mp4', [200, 200], 1, [10, 16, 16], null, [112.6, 118.9, 129.5], null],
  ['clips/h265_video.mp4', [128, 128], 1, [10, 16, 16], null, [11.9, 11.8, 252.1], null],
  ['clips/lion-sample.3gp', [384, 288], 116.64, [36, 16, 21], 58240, [103.9, 97.9, 81.4], 0.1502],
  ['clips/media_bitmap.mp4', [1, 1], 5, [50, 16, 16], null, [0.0, 0.0, 255.0], null],
  ['clips/media_chaplin.mp4', [640, 360], 9.61399, [36, 16, 28], 57824, [80.1, 80.1, 80.1], 0.0838],
  ['clips/media_no_duration.webm', [1280, 720], 4.875, [49, 16, 28], 78000, [1.7, 5.8, 4.2], 0.0],
  ['clips/media_transparent.webm', [200, 200], 4.943, [49, 16, 16], 79088, [1.6, 0.0, 0.0], 0.0],
  ['clips/monster.mp4', [720, 480], 7.3, [73, 16, 24], 116800, [166.5, 105.2, 61.3], 0.0069],
  ['clips/nasa_13013.mp4', [320, 180], 13, [30, 16, 28], 48000, [16.4, 12.6, 16.4], 0.0691],
  ['clips/pig.webm', [720, 480], 6.533, [65, 16, 24], 104528, [151.6, 90.7, 61.9], 0.0066],
  ['clips/rabbit.webm', [720, 480], 7.8, [78, 16, 24], 124800, [116.9, 68.1, 47.0], 0.0044],
  ['clips/rabbit320.mp4', [320, 240], 7.76667, [78, 16, 21], 124267, [117.7, 69.1, 46.1], 0.0046],
  [
    'clips/rotate-buck-bunny.mp4',
    [1080, 1920],
    1.95833,
    [20, 28, 16],
    31333,
    [47.0, 44.6, 44.6],
    0.0008,
  ],
  ['clips/test_public_edts.mp4', [854, 480], 9, [90, 16, 28], 144000, [0.0, 0.0, 0.0], 0.1767],
  ['clips/testdata_demux.mp4', [320, 240], 2, [20, 16, 21], 32000, [121.4, 126.9, 130.1], 0.0882],
  ['clips/testdata_video.mp4', [320, 180], 5, [50, 16, 28], 80000, [227.3, 213.4, 210.3], 0.0062],
  [
    'clips/tests_data_test.avi',
    [320, 240],
    6.55673,
    [66, 16, 21],
    104908,
    [98.8, 87.4, 94.2],
    0.0917,
  ],
  ['clips/video.mp4', [320, 192], 24.412, [34, 16, 27], 54592, [156.0, 160.0, 6.1], 0.0115],
  [
    'clips/with_failing_audio.mp4',
    [640, 360],
    11.2,
    [32, 16, 28],
    51200,
    [94.4, 100.4, 103.2],
    0.0,
  ],
  [
    'vggsound-like/-1pRmoJIGQc_10000_20000.mp4',
    [1280, 720],
    10,
    [30, 16, 28],
    48000,
    [107.6, 100.2, 99.9],
    0.0357,
  ],
  [
    'vggsound-like/0nib7bMm8BA_15000_25000.mp4',
    [480, 360],
    10,
    [30, 16, 21],
    48000,
    [107.0, 80.8, 49.8],
    0.0736,
  ],
  [
    'vggsound-like/3HgbEKrbA9s_54000_64000.mp4',
    [1280, 720],
    10,
    [30, 16, 28],
    48000,
    [138.2, 134.2, 139.6],
    0.1093,
  ],
  [
    'vggsound-like/53UdZyM9MyE_252000_262000.mp4',
    [576, 720],
    10,
    [30, 20, 16],
    48000,
    [154.1, 123.5, 104.2],
    0.0247,
  ],
  [
    'vggsound-like/6zlMP_kQ_-w_30000_40000.mp4',
    [480, 360],
    10,
    [30, 16, 21],
    48000,
    [98.6, 62.4, 35.1],
    0.0428,
  ],
  [
    'vggsound-like/7tMPoaU2oL4_0_10000.mp4',
    [480, 360],
    10,
    [30, 16, 21],
    48000,
    [110.1, 87.0, 80.8],
    0.1023,
  ],
  [
    'vggsound-like/baby_video_01951.mp4',
    [298, 224],
    10.031,
    [30, 16, 21],
    48496,
    [101.2, 112.6, 107.2],
    0.125,
  ],
  [
    'vggsound-like/dog_video_02677.mp4',
    [398, 224],
    6,
    [60, 16, 28],
    96000,
    [178.8, 160.6, 156.9],
    0.1156,
  ],
  [
    'vggsound-like/drum_video_02480.mp4',
    [298, 224],
    10.031,
    [30, 16, 21],
    48496,
    [88.3, 78.3, 71.9],
    0.2882,
  ],
  [
    'vggsound-like/fireworks_video_02997.mp4',
    [398, 224],
    10.01,
    [30, 16, 28],
    48160,
    [12.3, 12.3, 9.5],
    0.0601,
  ],
  [
    'vggsound-like/gun_video_00819.mp4',
    [1280, 720],
    8,
    [80, 16, 28],
    128000,
    [155.1, 144.9, 143.1],
    0.0975,
  ],
];

const folder = fileURLToPath(new URL('../../../../shared/data/', import.meta.url));
const present = existsSync(folder);
/** The only file whose length no header gives. */
const unknownLength = 'clips/media_no_duration.webm';

describe
  .skipIf(!present)
  .concurrent(
    `decodeClip on real recordings${present ? '' : ' (skipped: no ../shared/data beside the repository)'}`,
    () => {
      it('has a row for every file', () => {
        const files = ['clips', 'vggsound-like'].flatMap((name) =>
          readdirSync(folder + name).map((file) => `${name}/${file}`),
        );
        expect(table.map(([file]) => file).sort()).toEqual(files.sort());
      });

      it.each(table)('%s', async (file, shown, seconds, decoded, samples, expected, loudness) => {
        const path = folder + file;
        const info = await probeClip(path);
        expect([info.video?.width, info.video?.height]).toEqual(shown);
        expect(info.durationSeconds === null).toBe(file === unknownLength);
        expect(Math.abs((info.durationSeconds ?? seconds) - seconds)).toBeLessThan(0.001);

        const startSeconds = seconds > 9.5 ? Math.floor(seconds) - 3 : 0;
        const wishes = { startSeconds, frameRate: 10, shortSide: 16, sampleRate: 16_000, info };
        const clip = await decodeClip(
          path,
          samples === null ? { ...wishes, streams: 'video' } : wishes,
        );
        const { frames, height, width, data } = clip.frames;
        expect([frames, height, width]).toEqual(decoded);
        expect(data.length).toBe(frames * height * width * 3);
        expect(clip.waveform.length).toBe(samples ?? 0);
        expect(Math.abs(clip.durationSeconds + startSeconds - seconds)).toBeLessThan(0.001);
        expect(clip.decodeErrors).toBe(0);

        const at = startSeconds > 0 ? 10 : Math.floor(seconds * 5);
        const colour = meanColour(
          data.subarray(at * height * width * 3, (at + 1) * height * width * 3),
        );
        expected.forEach((level, c) => expect(Math.abs((colour[c] ?? -1) - level)).toBeLessThan(4));
        // 8 %: what lies above 8 kHz is gone; 0.0005: ffmpeg mixes 5.1 without its bass channel (rotate-buck-bunny).
        const power = clip.waveform.reduce((sum, v) => sum + v * v, 0) / (samples ?? 1);
        const bound = 0.08 * (loudness ?? 0) + 0.0005;
        expect(Math.abs(Math.sqrt(power) - (loudness ?? 0))).toBeLessThan(bound);
      });

      it.each(table.filter(([, , , , samples]) => samples === null))(
        '%s has no sound',
        async (file) => {
          const path = folder + file;
          const refusal = { kind: 'Media', reason: 'no-audio', path };
          await expect(decodeClip(path)).rejects.toMatchObject(refusal);
          await expect(decodeClip(path, { streams: 'audio' })).rejects.toMatchObject(refusal);
        },
      );
    },
  );

function meanColour(pixels: Uint8Array): number[] {
  const sums = [0, 0, 0];
  for (let i = 0; i < pixels.length; i++) sums[i % 3] = (sums[i % 3] ?? 0) + (pixels[i] ?? 0);
  return sums.map((sum) => sum / (pixels.length / 3));
}
