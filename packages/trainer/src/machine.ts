// SPDX-License-Identifier: Apache-2.0
// What this machine and installation are: the facts that `doctor` judges. Programs are asked for their version and never for work.
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { availableParallelism, cpus, totalmem } from 'node:os';
import { promisify } from 'node:util';
import { findFfmpeg } from '@diffmavil/media';

export interface Machine {
  readonly node: { readonly version: string; readonly oldest: string };
  /** Version by package name; null: not installed. */
  readonly packages: Readonly<Record<string, string | null>>;
  readonly cpu: {
    readonly model: string;
    readonly cores: number;
    readonly instructions: readonly string[] | null;
  };
  readonly memoryBytes: number;
  readonly ffmpeg: FfmpegFacts | { readonly error: string };
  /** One line per GPU; null: nvidia-smi is not installed. */
  readonly gpus: readonly string[] | { readonly error: string } | null;
  readonly freeDiskBytes: number;
}

export interface FfmpegFacts {
  readonly ffmpeg: string;
  readonly ffprobe: string;
  readonly h264: boolean;
  readonly aac: boolean;
  readonly soxr: boolean;
}

const ownPackages = ['schedulers', 'audio-spectrogram', 'video-patchify', 'media', 'core', 'model'];
const tfjsPackages = ['tfjs-core', 'tfjs-backend-cpu', 'tfjs-backend-wasm'];

/** Instruction sets that matrix products and half types profit from, as Linux names them. */
const telling =
  /^(sse4_2|avx|avx2|fma|f16c|avx512f|avx512_vnni|avx512_bf16|amx_bf16|amx_int8|asimd|bf16|sve|sve2)$/;

/** Looks around. @param folder Where free disk space is measured. */
export async function inspectMachine(folder: string): Promise<Machine> {
  const own = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
    version: string;
    engines: { node: string };
  };
  const [ffmpeg, gpus, disk] = await Promise.all([inspectFfmpeg(), inspectGpus(), statfs(folder)]);
  return {
    node: { version: process.versions.node, oldest: own.engines.node.replace('>=', '') },
    packages: {
      '@diffmavil/trainer': own.version,
      ...Object.fromEntries(
        [
          ...ownPackages.map((name) => `@diffmavil/${name}`),
          ...tfjsPackages.map((name) => `@tensorflow/${name}`),
        ].map((name) => [name, packageVersion(name)]),
      ),
    },
    cpu: {
      model: cpus()[0]?.model.trim() ?? 'unknown',
      cores: availableParallelism(),
      instructions: instructionSets(),
    },
    memoryBytes: totalmem(),
    ffmpeg,
    gpus,
    freeDiskBytes: disk.bavail * disk.bsize,
  };
}

function packageVersion(name: string): string | null {
  try {
    const manifest = createRequire(import.meta.url)(`${name}/package.json`) as { version: string };
    return manifest.version;
  } catch {
    return null;
  }
}

/** @returns The telling flags of the first core; null where the system does not list them. */
function instructionSets(): string[] | null {
  try {
    const text = readFileSync('/proc/cpuinfo', 'utf8');
    const flags = /^(?:flags|Features)\s*:\s*(.*)$/m.exec(text)?.[1];
    return flags?.split(' ').filter((flag) => telling.test(flag)) ?? null;
  } catch {
    return null;
  }
}

async function inspectFfmpeg(): Promise<Machine['ffmpeg']> {
  try {
    const { ffmpeg, ffprobe } = findFfmpeg();
    const [ffmpegText, ffprobeText, encoders] = await Promise.all([
      ask(ffmpeg, '-version'),
      ask(ffprobe, '-version'),
      ask(ffmpeg, '-hide_banner', '-encoders'),
    ]);
    return {
      ffmpeg: versionIn(ffmpegText),
      ffprobe: versionIn(ffprobeText),
      h264: / libx264 /.test(encoders),
      aac: / aac /.test(encoders),
      soxr: ffmpegText.includes('--enable-libsoxr'),
    };
  } catch (error) {
    return { error: (error as Error).message.split('\n')[0]! };
  }
}

async function inspectGpus(): Promise<Machine['gpus']> {
  try {
    const query = '--query-gpu=name,memory.total,driver_version';
    const text = await ask('nvidia-smi', query, '--format=csv,noheader');
    return text.trim().split('\n');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    return { error: (error as Error).message.split('\n')[0]! };
  }
}

async function ask(program: string, ...args: string[]): Promise<string> {
  return (await promisify(execFile)(program, args, { timeout: 10_000 })).stdout;
}

function versionIn(text: string): string {
  return /version (\S+)/.exec(text)?.[1] ?? 'unknown version';
}
