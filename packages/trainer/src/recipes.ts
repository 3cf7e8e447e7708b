// SPDX-License-Identifier: Apache-2.0
// Named configurations. Fine-tuning recipes are the columns of [DiffMAViL Table 4] and, under `mavil-`, of [MAViL Table 10]; learning rates are
// absolute (MAViL's base rates times batch / 256). All are for sound; `modality` changes that, `both` being MAViL's headline.
// Not built, so left out: CutMix (DiffMAViL's AS-20K and VGGSound).

type Json = Record<string, unknown>;

const optimizer = {
  weightDecay: 1e-4,
  minLearningRate: 1e-6,
  beta1: 0.9,
  beta2: 0.95,
  layerDecay: 0.75,
};

const diffMavil = { optimizer, augmentation: { roll: true }, dropPath: 0.1 };

/** MAViL's differ in weight decay, in hiding a fifth while training [§B], and in how fast the video encoder learns beside the audio one. */
const mavil = {
  optimizer: { ...optimizer, weightDecay: 1e-5 },
  augmentation: { roll: true },
  dropPath: 0.1,
  masking: { time: 0.2, frequency: 0.2, video: 0.2 },
  videoLearningRate: 0.5,
};

/** What a column says beside its family's settings. */
interface Column {
  readonly task: 'single-label' | 'multi-label';
  readonly loss: 'softmax' | 'sigmoid';
  readonly epochs: number;
  readonly batch: number;
  readonly learningRate: number;
  readonly warmupEpochs: number;
  /** SpecAugment's widest masks, in frames and mel bins. */
  readonly spec: readonly [time: number, frequency: number];
  readonly noise?: boolean;
  readonly mixup?: number;
  readonly balancedClasses?: boolean;
}

function recipe(
  family: typeof diffMavil | typeof mavil,
  { batch, learningRate, warmupEpochs, spec, noise, ...rest }: Column,
): Json {
  const [time, frequency] = spec;
  return {
    ...family,
    ...rest,
    batch: { size: batch },
    optimizer: { ...family.optimizer, learningRate, warmupEpochs },
    augmentation: {
      ...family.augmentation,
      ...(noise === true && { noise }),
      specAugment: { time, frequency },
    },
  };
}

const audioSet = { task: 'multi-label', loss: 'sigmoid', spec: [192, 48], mixup: 0.5 } as const;
const vggSound = { ...audioSet, task: 'single-label', noise: true } as const;
const esc = { task: 'single-label', loss: 'softmax', spec: [96, 24] } as const;
const speech = { task: 'single-label', spec: [48, 48] } as const;

/** Fine-tuning recipes by name; `model` is taken from the pre-trained model unless set. */
export const finetuneRecipes: Readonly<Record<string, Json>> = {
  'as-20k': recipe(diffMavil, {
    ...audioSet,
    epochs: 60,
    batch: 64,
    learningRate: 2.5e-4,
    warmupEpochs: 4,
  }),
  vggsound: recipe(diffMavil, {
    ...vggSound,
    epochs: 60,
    batch: 256,
    learningRate: 2e-4,
    warmupEpochs: 1,
  }),
  'esc-50': recipe(diffMavil, {
    ...esc,
    epochs: 100,
    batch: 64,
    learningRate: 2.5e-4,
    warmupEpochs: 4,
  }),
  'spc-v2': recipe(diffMavil, {
    ...speech,
    loss: 'softmax',
    epochs: 60,
    batch: 256,
    learningRate: 1e-3,
    warmupEpochs: 4,
  }),
  // MAViL's 100 epochs are of 200 000 draws: ten of the whole two million.
  'mavil-as-2m': recipe(mavil, {
    ...audioSet,
    balancedClasses: true,
    epochs: 10,
    batch: 512,
    learningRate: 4e-4,
    warmupEpochs: 2,
  }),
  'mavil-as-20k': recipe(mavil, {
    ...audioSet,
    epochs: 60,
    batch: 64,
    learningRate: 2.5e-4,
    warmupEpochs: 4,
  }),
  'mavil-vggsound': recipe(mavil, {
    ...vggSound,
    balancedClasses: true,
    epochs: 60,
    batch: 256,
    learningRate: 2e-4,
    warmupEpochs: 4,
  }),
  'mavil-esc-50': recipe(mavil, {
    ...esc,
    epochs: 60,
    batch: 64,
    learningRate: 2.5e-4,
    warmupEpochs: 4,
  }),
  'mavil-spc-v1': recipe(mavil, {
    ...speech,
    loss: 'sigmoid',
    epochs: 10,
    batch: 256,
    learningRate: 1e-3,
    warmupEpochs: 1,
    noise: true,
    mixup: 0.5,
  }),
};
