// SPDX-License-Identifier: Apache-2.0
// What a valid configuration is: field by field (zod), then the rules between fields.
// Every fault is one clause that names its key; the caller joins them into one sentence.
import { z } from 'zod';

const whole = (min: number, max: number): z.ZodType<number> =>
  z.custom<number>((v) => Number.isInteger(v) && inside(v as number, min, max), {
    error: `a whole number ${min}..${max}`,
  });
const real = (min: number, max: number): z.ZodType<number> =>
  z.custom<number>((v) => typeof v === 'number' && inside(v, min, max), {
    error: `a number ${min}..${max}`,
  });
const fraction: z.ZodType<number> = z.custom<number>(
  (v) => typeof v === 'number' && v > 0 && v < 1,
  { error: 'a number above 0 and below 1' },
);
const flag: z.ZodType<boolean> = z.custom<boolean>((v) => typeof v === 'boolean', {
  error: 'true or false',
});
const oneOf = (...kinds: string[]): z.ZodType<string> =>
  z.custom<string>((v) => kinds.includes(v as string), {
    error: kinds.map((kind) => `'${kind}'`).join(' or '),
  });
const pair = (min: number, max: number): z.ZodType<[number, number]> =>
  z.custom<[number, number]>(
    (v) =>
      Array.isArray(v) &&
      v.length === 2 &&
      v.every((n) => Number.isInteger(n) && inside(n as number, min, max)),
    { error: `two whole numbers ${min}..${max}` },
  );

function inside(value: number, min: number, max: number): boolean {
  return value >= min && value <= max;
}

const section = <S extends z.ZodRawShape>(shape: S): z.ZodObject<S, z.core.$strict> =>
  z.strictObject(shape, {
    error: (issue) => (issue.code === 'invalid_type' ? 'an object' : undefined),
  });

const audio = section({ frames: whole(1, 16384), mels: whole(1, 1024), patch: whole(1, 256) });
const video = section({
  frames: whole(1, 1024),
  size: whole(1, 2048),
  tubelet: whole(1, 64),
  patch: whole(1, 256),
  predictFrames: whole(1, 1024),
});
const encoder = section({
  width: whole(4, 8192),
  depth: whole(1, 128),
  heads: whole(1, 256),
  mlpRatio: real(0.25, 16),
  classToken: flag,
  finalNorm: flag,
});
const fusion = section({
  kind: oneOf('joint', 'bottleneck', 'none'),
  depth: whole(1, 128),
  bottlenecks: whole(1, 1024),
  finalNorm: flag,
});
const decoder = section({
  width: whole(4, 8192),
  depth: whole(1, 128),
  heads: whole(1, 256),
  audioAttention: oneOf('window', 'global'),
  window: pair(1, 64),
  shift: pair(0, 63),
  videoAttention: oneOf('cross', 'self'),
});
const diffused = section({
  kind: z.literal('diffused'),
  timesteps: whole(1, 100000),
  betaStart: fraction,
  betaEnd: fraction,
  exponent: z.custom<number>((v) => typeof v === 'number' && v > 0 && v <= 10, {
    error: 'a number above 0 and at most 10',
  }),
});
const maskToken = section({ kind: z.literal('mask-token') });
const loss = section({
  audioWeight: real(0, 1000),
  videoWeight: real(0, 1000),
  interWeight: real(0, 1000),
  interTemperature: real(0.0001, 1000),
  intraWeight: real(0, 1000),
  intraTemperature: real(0.0001, 1000),
  normalizeTargets: flag,
});

const sections: Readonly<Record<string, z.ZodObject>> = {
  audio,
  video,
  encoder,
  fusion,
  decoder,
  loss,
};
const nullable = new Set(['audio', 'video']);

/** All faults of a configuration whose defaults are filled, each a clause naming its key; none when it is valid. */
export function checkConfig(config: Readonly<Record<string, unknown>>): string[] {
  const faults: string[] = [];
  const sound = new Set<string>();
  const known = [...Object.keys(sections), 'masked'];
  for (const key of Object.keys(config)) {
    if (!known.includes(key)) faults.push(unknownKey(key, '', known));
  }
  for (const name of known) {
    const found = checkSection(name, config[name]);
    faults.push(...found);
    if (found.length === 0) sound.add(name);
  }
  for (const rule of rules) {
    if (rule.reads.every((name) => sound.has(name))) faults.push(...rule.check(config as never));
  }
  return faults;
}

function checkSection(name: string, value: unknown): string[] {
  if (value === null && nullable.has(name)) return [];
  let schema = sections[name];
  if (name === 'masked') {
    const kind = (value as { kind?: unknown } | null)?.kind;
    if (
      typeof value === 'object' &&
      value !== null &&
      kind !== 'diffused' &&
      kind !== 'mask-token'
    ) {
      return [fault('masked.kind', "'diffused' or 'mask-token'", kind)];
    }
    schema = kind === 'mask-token' ? maskToken : diffused;
  }
  if (schema === undefined) return [];
  const result = schema.safeParse(value);
  if (result.success) return [];
  const keys = Object.keys(schema.shape);
  return result.error.issues.flatMap((issue) => {
    if (issue.code === 'unrecognized_keys') {
      return issue.keys.map((key) => unknownKey(key, `${name}.`, keys));
    }
    const expected =
      nullable.has(name) && issue.path.length === 0 ? 'an object or null' : issue.message;
    return [fault([name, ...issue.path].join('.'), expected, valueAt(value, issue.path))];
  });
}

function valueAt(value: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>((at, key) => (at as Record<PropertyKey, unknown>)[key], value);
}

function fault(key: string, expected: string, got: unknown): string {
  const shown = typeof got === 'number' ? String(got) : (JSON.stringify(got) ?? String(got));
  return `${key}: expected ${expected}, got ${shown}`;
}

function unknownKey(key: string, prefix: string, known: readonly string[]): string {
  const near = known
    .map((name) => ({ name, distance: editDistance(key.toLowerCase(), name.toLowerCase()) }))
    .toSorted((a, b) => a.distance - b.distance)[0];
  const close =
    near !== undefined && near.distance <= Math.max(2, Math.floor(near.name.length / 3));
  const hint = close ? `did you mean ${prefix}${near.name}?` : `known: ${known.join(', ')}`;
  return `${prefix}${key}: unknown key, ${hint}`;
}

/** Levenshtein distance. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(change, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}

type Video = z.infer<typeof video>;

interface Sections {
  audio: z.infer<typeof audio> | null;
  video: Video | null;
  encoder: z.infer<typeof encoder>;
  fusion: z.infer<typeof fusion>;
  decoder: z.infer<typeof decoder>;
  masked: z.infer<typeof diffused> | z.infer<typeof maskToken>;
  loss: z.infer<typeof loss>;
}

interface Rule {
  reads: (keyof Sections)[];
  check(config: Sections): string[];
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

const rules: Rule[] = [
  {
    reads: ['audio', 'video'],
    check: ({ audio, video }) =>
      audio === null && video === null
        ? ['audio, video: expected at least one modality, got null and null']
        : [],
  },
  {
    reads: ['audio'],
    check: ({ audio }) =>
      audio === null
        ? []
        : [
            ...multiple('audio.frames', audio.frames, 'audio.patch', audio.patch),
            ...multiple('audio.mels', audio.mels, 'audio.patch', audio.patch),
          ],
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
    reads: ['fusion'],
    check: ({ fusion }) =>
      fusion.kind === 'bottleneck'
        ? ["fusion.kind: expected 'joint' or 'none', got \"bottleneck\", which is not built yet"]
        : [],
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
];

function videoFaults(video: Video): string[] {
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

function windowFaults({ audio, decoder }: Sections): string[] {
  if (audio === null || decoder.audioAttention !== 'window') return [];
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
