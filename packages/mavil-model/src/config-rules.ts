// SPDX-License-Identifier: Apache-2.0
// What a valid configuration is beyond its single fields: the rules between them. Every fault names its key.
import type { AudioConfig, ModelConfig, VideoConfig } from './config-types.ts';

/** One rule; it is asked when the sections it reads are sound in themselves. */
interface Rule {
  readonly reads: readonly (keyof ModelConfig)[];
  /** Faults, each a clause naming its key. */
  check(config: ModelConfig): string[];
}

/** `key: expected …, got …`. */
export function fault(key: string, expected: string, got: unknown): string {
  const shown = typeof got === 'number' ? String(got) : (JSON.stringify(got) ?? String(got));
  return `${key}: expected ${expected}, got ${shown}`;
}

const multiple = (key: string, value: number, ofKey: string, of: number): string[] =>
  value % of === 0 ? [] : [fault(key, `a multiple of ${ofKey} (${of})`, value)];

const attentionWidth = (name: 'encoder' | 'decoder'): Rule => ({
  reads: [name],
  check: (config) => [
    ...multiple(`${name}.width`, config[name].width, `${name}.heads`, config[name].heads),
    ...(config[name].width % 4 === 0
      ? []
      : [
          fault(
            `${name}.width`,
            'a multiple of 4 (sine and cosine on two axes)',
            config[name].width,
          ),
        ]),
  ],
});

/** Every rule between fields. */
export const rules: readonly Rule[] = [
  {
    reads: ['audio', 'video'],
    check: ({ audio, video }) =>
      audio === null && video === null
        ? ['audio, video: expected at least one modality, got null and null']
        : [],
  },
  {
    reads: ['audio'],
    check: ({ audio }) => (audio === null ? [] : audioFaults(audio)),
  },
  { reads: ['video'], check: ({ video }) => (video === null ? [] : videoFaults(video)) },
  attentionWidth('encoder'),
  attentionWidth('decoder'),
  {
    reads: ['encoder'],
    check: ({ encoder: { width, mlpRatio } }) =>
      Number.isInteger(width * mlpRatio)
        ? []
        : [
            fault(
              'encoder.mlpRatio',
              `a whole hidden width for encoder.width (${width})`,
              mlpRatio,
            ),
          ],
  },
  {
    reads: ['encoder', 'decoder'],
    check: ({ encoder: { mlpRatio }, decoder: { width } }) =>
      Number.isInteger(width * mlpRatio)
        ? []
        : [
            fault(
              'encoder.mlpRatio',
              `a whole hidden width for decoder.width (${width})`,
              mlpRatio,
            ),
          ],
  },
  {
    reads: ['masked'],
    check: ({ masked }) =>
      masked.kind === 'diffused' && masked.betaEnd < masked.betaStart
        ? [
            fault(
              'masked.betaEnd',
              `at least masked.betaStart (${masked.betaStart})`,
              masked.betaEnd,
            ),
          ]
        : [],
  },
  { reads: ['audio', 'decoder'], check: windowFaults },
  { reads: ['encoder'], check: tokenFaults },
  { reads: ['audio', 'video', 'fusion', 'decoder'], check: pairFaults },
  { reads: ['decoder'], check: sharedDecoderFaults },
  { reads: ['audio', 'video', 'encoder', 'decoder'], check: decoderClassTokenFaults },
  { reads: ['encoder', 'classifier'], check: classifierFaults },
  { reads: ['masking', 'loss'], check: secondViewFaults },
  { reads: ['targets', 'loss'], check: targetFaults },
];

function audioFaults({ frames, mels, patch, stride }: AudioConfig): string[] {
  if (stride > patch) return [fault('audio.stride', `at most audio.patch (${patch})`, stride)];
  if (stride < patch) {
    // Overlapping patches need not end where the spectrogram does.
    return [
      ...(frames < patch ? [fault('audio.frames', `at least audio.patch (${patch})`, frames)] : []),
      ...(mels < patch ? [fault('audio.mels', `at least audio.patch (${patch})`, mels)] : []),
    ];
  }
  return [
    ...multiple('audio.frames', frames, 'audio.patch', patch),
    ...multiple('audio.mels', mels, 'audio.patch', patch),
  ];
}

function tokenFaults({ encoder }: ModelConfig): string[] {
  if (!encoder.distillationToken || encoder.classToken) return [];
  return [fault('encoder.distillationToken', 'false without encoder.classToken', true)];
}

/** What takes two modalities to mix. */
function pairFaults({ audio, video, fusion, decoder }: ModelConfig): string[] {
  if (audio !== null && video !== null) return [];
  const missing = audio === null ? 'audio' : 'video';
  const need = (key: string, value: string, wanted: readonly string[]): string[] =>
    wanted.includes(value)
      ? [fault(key, `a kind for one modality, as ${missing} is null`, value)]
      : [];
  return [
    ...need('fusion.kind', fusion.kind, ['bottleneck', 'modality-norms']),
    ...need('decoder.sharing', decoder.sharing, ['joint']),
    ...need('decoder.context', decoder.context, ['other-modality']),
  ];
}

/** Blocks that serve both modalities attend to whatever sequence they are given. */
function sharedDecoderFaults({ decoder }: ModelConfig): string[] {
  const { sharing, context, audioAttention, videoAttention } = decoder;
  const inpainting = context === 'other-modality';
  const faults: string[] = [];
  if (sharing === 'joint' && inpainting) {
    faults.push(fault('decoder.sharing', "'separate' or 'shared' for inpainting", sharing));
  }
  const because =
    sharing === 'separate' ? "decoder.context 'other-modality'" : `decoder.sharing '${sharing}'`;
  if ((sharing !== 'separate' || inpainting) && audioAttention !== 'global') {
    faults.push(fault('decoder.audioAttention', `'global' for ${because}`, audioAttention));
  }
  if (sharing !== 'separate' && videoAttention !== 'self') {
    faults.push(fault('decoder.videoAttention', `'self' for ${because}`, videoAttention));
  }
  return faults;
}

/** A class token is one more token of self-attention; windows and cross-attention have no place for it. */
function decoderClassTokenFaults({ audio, video, encoder, decoder }: ModelConfig): string[] {
  const { classToken, audioAttention, videoAttention, sharing, context } = decoder;
  if (classToken === 'none') return [];
  const because = `decoder.classToken '${classToken}'`;
  return [
    ...(classToken === 'encoder' && !encoder.classToken
      ? [fault('decoder.classToken', "'none' or 'learned' without encoder.classToken", classToken)]
      : []),
    ...(audio !== null && audioAttention !== 'global'
      ? [fault('decoder.audioAttention', `'global' for ${because}`, audioAttention)]
      : []),
    ...(video !== null && videoAttention !== 'self'
      ? [fault('decoder.videoAttention', `'self' for ${because}`, videoAttention)]
      : []),
    ...(sharing === 'separate'
      ? []
      : [fault('decoder.sharing', `'separate' for ${because}`, sharing)]),
    ...(context === 'fused' ? [] : [fault('decoder.context', `'fused' for ${because}`, context)]),
  ];
}

function classifierFaults({ encoder, classifier }: ModelConfig): string[] {
  return [
    ...(classifier.pooling === 'class-tokens' && !encoder.classToken
      ? [fault('classifier.pooling', "'tokens' without encoder.classToken", classifier.pooling)]
      : []),
    ...(classifier.finalNorm && !encoder.finalNorm
      ? [fault('classifier.finalNorm', 'false without encoder.finalNorm', true)]
      : []),
  ];
}

function secondViewFaults({ masking, loss }: ModelConfig): string[] {
  const { audio, secondView } = masking;
  if (audio === 'random' || secondView === 'independent' || loss.intraWeight === 0) return [];
  const expected = `'independent' for masking.audio '${audio}', or loss.intraWeight 0`;
  return [fault('masking.secondView', expected, secondView)];
}

function targetFaults({ targets, loss }: ModelConfig): string[] {
  if (targets.kind === 'patches' || !loss.normalizeTargets) return [];
  return [
    fault(
      'loss.normalizeTargets',
      'false for the features of a teacher (targets.normalize is theirs)',
      true,
    ),
  ];
}

function videoFaults(video: VideoConfig): string[] {
  const { frames, size, tubelet, patch, predictFrames } = video;
  const faults = [
    ...multiple('video.frames', frames, 'video.tubelet', tubelet),
    ...multiple('video.size', size, 'video.patch', patch),
  ];
  if (predictFrames !== frames && predictFrames !== frames / tubelet) {
    const expected = `video.frames (${frames}) or video.frames / video.tubelet (${frames / tubelet})`;
    faults.push(fault('video.predictFrames', expected, predictFrames));
  }
  return faults;
}

function windowFaults({ audio, decoder }: ModelConfig): string[] {
  if (audio === null || decoder.audioAttention === 'global') return [];
  // Overlapping patches are never decoded.
  if (audio.stride !== audio.patch) return [];
  const faults: string[] = [];
  const grid = [audio.frames / audio.patch, audio.mels / audio.patch];
  for (const axis of [0, 1] as const) {
    const size = decoder.window[axis];
    const length = grid[axis] ?? 0;
    // A grid that is no whole number is a fault of audio.frames or audio.mels, reported there.
    if (Number.isInteger(length) && length % size !== 0) {
      const expected = `a divisor of the audio grid (${length} tokens)`;
      faults.push(fault(`decoder.window.${axis}`, expected, size));
    }
    if (decoder.shift[axis] >= size) {
      faults.push(
        fault(
          `decoder.shift.${axis}`,
          `less than decoder.window.${axis} (${size})`,
          decoder.shift[axis],
        ),
      );
    }
  }
  return faults;
}
