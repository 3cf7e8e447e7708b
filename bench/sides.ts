// SPDX-License-Identifier: Apache-2.0
// Who steps in the training-step bench: ours on a backend, or PyTorch. Each side is a process that answers lines (step-process.ts,
// peers/train_step.py).
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { LineProcess } from './child-process.ts';
import { root } from './machine.ts';
import { benchPython } from './python.ts';
import type { ProcessSetup } from './step-process.ts';
import { optimizer } from './step-setup.ts';

interface OwnSide {
  readonly backend: string;
  /** The passes of a step are recorded once and replayed. */
  readonly capture?: boolean;
}

interface TorchSide {
  readonly device: 'cpu' | 'cuda';
  /** The mode of torch.compile; null: eager. */
  readonly compile: string | null;
  /** The whole step, optimizer included, is a CUDA graph. */
  readonly capture?: boolean;
}

export type Side =
  | 'diffmavil-cpu'
  | 'wasm'
  | 'diffmavil-cuda'
  | 'diffmavil-cuda graph'
  | 'PyTorch eager'
  | 'PyTorch compile'
  | 'PyTorch cuda eager'
  | 'PyTorch cuda compile'
  | 'PyTorch cuda graph'
  | 'PyTorch cuda compile graph';

const sides: Record<Side, OwnSide | TorchSide> = {
  'diffmavil-cpu': { backend: 'diffmavil-cpu' },
  wasm: { backend: 'wasm' },
  'diffmavil-cuda': { backend: 'diffmavil-cuda' },
  'diffmavil-cuda graph': { backend: 'diffmavil-cuda', capture: true },
  'PyTorch eager': { device: 'cpu', compile: null },
  'PyTorch compile': { device: 'cpu', compile: 'default' },
  'PyTorch cuda eager': { device: 'cuda', compile: null },
  'PyTorch cuda compile': { device: 'cuda', compile: 'max-autotune' },
  'PyTorch cuda graph': { device: 'cuda', compile: null, capture: true },
  'PyTorch cuda compile graph': {
    device: 'cuda',
    compile: 'max-autotune-no-cudagraphs',
    capture: true,
  },
};

/** What the processes of a run share: files of weights and batches, compiled code. */
export const cache: string = join(root, '.cache/bench');
const stepProgram = fileURLToPath(new URL('step-process.js', import.meta.url));

/** What is the same on all sides of a comparison. */
export type SideSetup = Pick<
  ProcessSetup,
  'folder' | 'setup' | 'precision' | 'threads' | 'repeats'
>;

/** Starts a side; `writeOnly` writes the files of the setup and ends. */
export function startSide(side: Side, given: SideSetup, writeOnly: boolean = false): LineProcess {
  const env = {
    ...process.env,
    OMP_NUM_THREADS: String(given.threads),
    DIFFMAVIL_THREADS: String(given.threads),
    TORCHINDUCTOR_CACHE_DIR: join(cache, 'inductor'),
  };
  const how = sides[side];
  if ('backend' in how) {
    const argument: ProcessSetup = { ...given, ...how, writeOnly };
    const args = ['--expose-gc', stepProgram, JSON.stringify(argument)];
    return new LineProcess(side, process.execPath, args, env);
  }
  const argument = { ...given, ...how, optimizer };
  const program = join(root, 'bench/peers/train_step.py');
  return new LineProcess(side, benchPython(), [program, JSON.stringify(argument)], env);
}
