// SPDX-License-Identifier: Apache-2.0
// Named configurations. Fine-tuning recipes are the columns of [DiffMAViL Table 4]; what that table leaves open follows [MAViL Table 10].
// The quickstart pair is what `npm start` runs: sized for a few minutes on two cores of plain JavaScript.

type Json = Record<string, unknown>;

const paperOptimizer = {
  weightDecay: 1e-4,
  minLearningRate: 1e-6,
  beta1: 0.9,
  beta2: 0.95,
  layerDecay: 0.75,
};

/** Fine-tuning recipes by name; `model` is taken from the pre-trained model unless set. */
export const finetuneRecipes: Readonly<Record<string, Json>> = {
  'as-20k': {
    task: 'multi-label',
    epochs: 60,
    batch: { size: 64 },
    optimizer: { ...paperOptimizer, learningRate: 2.5e-4, warmupEpochs: 4 },
    augmentation: { roll: true, specAugment: { time: 192, frequency: 48 } },
    dropPath: 0.1,
  },
  vggsound: {
    task: 'single-label',
    epochs: 60,
    batch: { size: 256 },
    optimizer: { ...paperOptimizer, learningRate: 2e-4, warmupEpochs: 1 },
    augmentation: { roll: true, noise: true, specAugment: { time: 192, frequency: 48 } },
    dropPath: 0.1,
  },
  'esc-50': {
    task: 'single-label',
    epochs: 100,
    batch: { size: 64 },
    optimizer: { ...paperOptimizer, learningRate: 2.5e-4, warmupEpochs: 4 },
    augmentation: { roll: true, specAugment: { time: 96, frequency: 24 } },
    dropPath: 0.1,
  },
  'spc-v2': {
    task: 'single-label',
    epochs: 60,
    batch: { size: 256 },
    optimizer: { ...paperOptimizer, learningRate: 1e-3, warmupEpochs: 4 },
    augmentation: { roll: true, specAugment: { time: 48, frequency: 48 } },
    dropPath: 0.1,
  },
};
