// SPDX-License-Identifier: Apache-2.0
// Do diffused patches help with fine detail, as the paper has it? Pre-trains the same small model twice for the same steps, with mask tokens
// and with diffused patches, and scores both on the same held-out clips and masks, band by band:
// npx tsx examples/frequency-bands.ts CLIPS FOLDER [EPOCHS] [SAMPLE-STEPS]
import {
  type BandFigures,
  type ModalityBands,
  dataClips,
  defineRun,
  pretrain,
  reconstructClip,
  useBackend,
} from '@diffmavil/trainer';

const [data = 'data/demo', folder = 'runs/bands', epochs = '80', sampleSteps = '50'] =
  process.argv.slice(2);
await useBackend('auto');

const model = {
  audio: { frames: 256, mels: 32, patch: 16 },
  video: { frames: 8, size: 48, tubelet: 2, patch: 12, predictFrames: 4 },
  encoder: { width: 48, depth: 2, heads: 3 },
  fusion: { depth: 1 },
  decoder: { width: 32, depth: 2, heads: 2, window: [4, 2], shift: [2, 0] },
};
const masked = { 'mask-token': { kind: 'mask-token' }, diffused: { kind: 'diffused' } };
const output = { isTerminal: false, write: (text: string) => process.stderr.write(text) };

for (const [name, kind] of Object.entries(masked)) {
  const config = defineRun({
    model: { ...model, masked: kind },
    seed: 1,
    epochs: Number(epochs),
    batch: { size: 8, adaptive: true },
    data: {
      trainSplits: ['train'],
      videoSeconds: 2.56,
      sharedWindow: true,
      cacheFolder: `${folder}/clips`,
    },
    augmentation: { cropScale: [0.6, 1] },
    optimizer: { learningRate: 2e-3, warmupEpochs: 1, clipNorm: 1 },
  });
  await pretrain({ config, data, run: `${folder}/${name}`, resume: false, output });
}

type Sums = Record<'flat' | 'error' | 'power', number[]>;
const sums = new Map<string, Sums>();

/** Adds one clip's bands to a row of the table. */
function add(
  row: string,
  { flat }: BandFigures,
  error: readonly number[],
  power: readonly number[],
): void {
  const known = sums.get(row) ?? {
    flat: flat.map(() => 0),
    error: flat.map(() => 0),
    power: flat.map(() => 0),
  };
  flat.forEach((value, band) => {
    known.flat[band]! += value;
    known.error[band]! += error[band]!;
    known.power[band]! += power[band]!;
  });
  sums.set(row, known);
}

const clips = dataClips({ data, splits: ['test'] });
for (const clip of clips) {
  for (const name of Object.keys(masked)) {
    const { figures } = await reconstructClip({
      modelFolder: `${folder}/${name}/model`,
      clip: clip.path,
      ...(name === 'diffused' && { timestep: 1000, sampleSteps: Number(sampleSteps) }),
    });
    for (const [modality, bands] of [
      ['video', figures.video?.bands],
      ['sound', figures.audio?.bands],
    ] as const) {
      for (const kind of ['pitch', 'detail'] as const satisfies (keyof ModalityBands)[]) {
        const own = bands?.[kind];
        if (own === undefined || own === null) continue;
        const { oneStep, sampled, oneStepPower, sampledPower } = own;
        add(`${modality} by ${kind}, ${name}, one step`, own, oneStep, oneStepPower);
        if (sampled === null || sampledPower === null) continue;
        add(`${modality} by ${kind}, ${name}, ${sampleSteps} steps`, own, sampled, sampledPower);
      }
    }
  }
}

console.log(
  `${clips.length} held-out clips; of each band, low to high: error, and power shown, over those of the truth around its mean`,
);
for (const [row, { flat, error, power }] of [...sums].toSorted(([a], [b]) => (a < b ? -1 : 1))) {
  const shares = (values: readonly number[]): string =>
    values.map((value, band) => (value / flat[band]!).toFixed(2).padStart(6)).join('');
  console.log(`${row.padEnd(40)} error${shares(error)}  power${shares(power)}`);
}
