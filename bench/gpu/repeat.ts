// SPDX-License-Identifier: Apache-2.0
// The same steps twice give the same bits: every loss, and every weight after the last. In one process, captured and plain, and in two processes; two need
// DIFFMAVIL_CUBLASLT_TUNE=off, as timing may choose another product's code.
import type { Precision } from '@diffmavil/core';
import type { PresetName } from '@diffmavil/model';
import { cudaBackendName } from '@diffmavil/native';
import { useBackend } from '../backends.ts';
import { startSide } from '../sides.ts';
import type { Side } from '../sides.ts';
import type { Replies } from '../step-process.ts';
import { makeStepper } from '../stepper.ts';
import { modelUnits } from './rows.ts';
import type { Suite, SuiteOptions } from './rows.ts';
import { stepFiles } from './step-files.ts';
import type { StepFiles } from './step-files.ts';

const maskRatio = 0.8;

/** Losses of the steps, and a hash of the weights. */
interface Outcome {
  readonly losses: readonly number[];
  readonly digest: string;
}

export const repeat: Suite = {
  plan: (options) =>
    modelUnits(options).map(({ preset, precision }) => ({
      suite: 'repeat',
      rows: places(options).map((where) => rowName(preset, precision, where)),
      limitSeconds: 180,
      strict: true,
      preset,
      precision,
    })),

  async run({ preset = 'small', precision = 'float32' }, options, report) {
    const batch = options.emulated ? 2 : 16;
    // Captured steps run three times op by op, are recorded, and replayed from then on.
    const steps = options.emulated ? 6 : 10;
    const files = await stepFiles(preset, batch, maskRatio, options);
    const train = (capture = false): Promise<Outcome> =>
      trainHere(files, precision, steps, capture);
    const judge = (where: string, outcomes: readonly Outcome[]): void => {
      const [first, second] = outcomes as [Outcome, Outcome];
      const equal = first.losses.map((loss, i) => Object.is(loss, second.losses[i]));
      const good = equal.every(Boolean) && first.digest === second.digest;
      report({
        name: rowName(preset, precision, where),
        state: good ? 'passed' : 'failed',
        ...(!good && { reason: 'the second run has other bits than the first' }),
        figures: {
          steps,
          batch,
          maskRatio,
          equalLosses: equal.filter(Boolean).length,
          equalWeights: first.digest === second.digest,
          losses: first.losses,
        },
      });
    };
    await useBackend(options.backend, options.threads);
    const [plain, again] = [await train(), await train()];
    judge('one process', [plain, again]);
    if (places(options).includes(captured)) judge(captured, [plain, await train(true)]);
    judge('two processes', await inTwoProcesses(files, precision, steps, options));
  },
};

/** Only a device captures. */
const captured = 'captured and plain';

function places({ backend }: SuiteOptions): string[] {
  const everywhere = ['one process', 'two processes'];
  return backend === cudaBackendName ? [...everywhere, captured] : everywhere;
}

function rowName(preset: PresetName, precision: Precision, where: string): string {
  return `${preset} ${precision}, ${where}`;
}

async function trainHere(
  { folder, setup, repeats }: StepFiles,
  precision: Precision,
  steps: number,
  capture: boolean,
): Promise<Outcome> {
  const stepper = makeStepper(folder, setup, precision, { repeats, capture });
  const { losses } = await stepper.run(steps);
  const outcome = { losses, digest: await stepper.digest() };
  stepper.dispose();
  return outcome;
}

async function inTwoProcesses(
  files: StepFiles,
  precision: Precision,
  steps: number,
  { backend }: SuiteOptions,
): Promise<Outcome[]> {
  process.env['DIFFMAVIL_CUBLASLT_TUNE'] = 'off';
  const outcomes: Outcome[] = [];
  for (let run = 0; run < 2; run++) {
    const side = startSide(backend as Side, { ...files, precision });
    await side.ask();
    const { losses } = await side.ask<Replies['steps']>({ do: 'steps', count: steps });
    outcomes.push({ losses, ...(await side.ask<Replies['digest']>({ do: 'digest' })) });
    await side.stop();
  }
  return outcomes;
}
