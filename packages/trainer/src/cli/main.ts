// SPDX-License-Identifier: Apache-2.0
// `diffmavil <command>`: finds the command, prints expected errors as one sentence, turns outcomes into exit codes.
import { closestName } from '../closest-name.ts';
import { type Command, type CommandContext, UsageError } from './command.ts';

/** Commands are loaded when asked for, so that `--help` is instant. */
const commands: Readonly<Record<string, () => Promise<{ command: Command }>>> = {
  doctor: () => import('./doctor.ts'),
  'demo-data': () => import('./demo-data.ts'),
  pretrain: () => import('./pretrain.ts'),
  finetune: () => import('./finetune.ts'),
  evaluate: () => import('./evaluate.ts'),
  embed: () => import('./embed.ts'),
  retrieve: () => import('./retrieve.ts'),
  reconstruct: () => import('./reconstruct.ts'),
  flops: () => import('./flops.ts'),
  convert: () => import('./convert.ts'),
  export: () => import('./export.ts'),
  trace: () => import('./trace.ts'),
  report: () => import('./report.ts'),
};

const terminal: CommandContext = {
  stdout: (line) => process.stdout.write(`${line}\n`),
  stderr: (line) => process.stderr.write(`${line}\n`),
  isTerminal: process.stderr.isTTY,
};

/** Runs a command line. @param args Without the program's name. @returns The exit code: 0, 1 (failed) or 2 (bad usage). */
export async function main(
  args: readonly string[],
  context: CommandContext = terminal,
): Promise<number> {
  const [name, ...rest] = args;
  if (name === undefined || name === '--help' || name === 'help') {
    context.stdout(await overview());
    return name === undefined ? 2 : 0;
  }
  const load = commands[name];
  if (load === undefined) {
    const near = closestName(name, Object.keys(commands));
    context.stderr(`diffmavil: unknown command '${name}'. Try: diffmavil ${near ?? '--help'}`);
    return 2;
  }
  const { command } = await load();
  if (rest.includes('--help')) {
    context.stdout(command.usage);
    return 0;
  }
  try {
    return await command.run(rest, context);
  } catch (error) {
    return report(error, command, context);
  }
}

function report(error: unknown, command: Command, context: CommandContext): number {
  if (error instanceof UsageError) {
    context.stderr(
      `diffmavil ${command.name}: ${error.message}. Try: diffmavil ${command.name} --help`,
    );
    return 2;
  }
  context.stderr(`diffmavil ${command.name}: ${sentenceOf(error)}`);
  return 1;
}

/** The message of an error that a user can meet; everything else is a fault of the program and shows its stack. */
function sentenceOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { kind, code, syscall } = error as { kind?: unknown; code?: unknown; syscall?: unknown };
  if (typeof kind === 'string') return error.message;
  // The operating system said no: a full disk, a missing permission.
  if (typeof code === 'string' && typeof syscall === 'string')
    return `${error.message}. Try: make room or another folder; --resume goes on from the last checkpoint`;
  return error.stack ?? error.message;
}

async function overview(): Promise<string> {
  const loaded = await Promise.all(Object.values(commands).map((load) => load()));
  const width = Math.max(...loaded.map(({ command }) => command.name.length));
  return [
    'diffmavil: masked audio-video learners with diffusion',
    '',
    ...loaded.map(({ command }) => `  ${command.name.padEnd(width)}  ${command.summary}`),
    '',
    'diffmavil <command> --help tells more.',
  ].join('\n');
}
