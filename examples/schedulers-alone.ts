// SPDX-License-Identifier: Apache-2.0
// The schedules without the rest: numbers for any training code. npx tsx examples/schedulers-alone.ts
import { adaptiveBatchSize, alphaBars, learningRate, maskRatio } from '@diffmavil/schedulers';

const noise = alphaBars({
  kind: 'linear',
  timesteps: 1000,
  betaStart: 1e-4,
  betaEnd: 0.02,
  exponent: 0.8,
});
console.log(
  `signal left at t = 1, 100, 1000: ${[1, 100, 1000].map((t) => noise[t - 1]?.toExponential(4)).join(', ')}`,
);

const epochs = 60;
const curriculum = { kind: 'linear', start: 0.9, end: 0.8 } as const;
const schedule = {
  kind: 'cosine',
  peak: 4e-4,
  floor: 1e-6,
  warmupSteps: 8,
  totalSteps: epochs,
} as const;
for (const epoch of [0, 20, 40, 59]) {
  const ratio = maskRatio(curriculum, epoch, epochs).toFixed(4);
  const batch = adaptiveBatchSize(256, curriculum, epoch, epochs);
  console.log(
    `epoch ${epoch}: mask ratio ${ratio}, batch ${batch}, learning rate ${learningRate(schedule, epoch).toExponential(3)}`,
  );
}
