// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest';
import { type BackendOutcomes, diagnose, isHealthy, readProblem } from './doctor.ts';
import type { Machine } from './machine.ts';

const machine: Machine = {
  node: { version: '20.19.0', oldest: '20.19.0' },
  packages: {
    '@diffmavil/trainer': '0.1.0',
    '@diffmavil/core': '0.1.0',
    '@tensorflow/tfjs-core': '4.22.0',
  },
  cpu: { model: 'A processor', cores: 8, instructions: ['avx2', 'fma'] },
  memoryBytes: 24e9,
  ffmpeg: { ffmpeg: '5.1.9', ffprobe: '5.1.9', h264: true, aac: true, soxr: true },
  gpus: null,
  freeDiskBytes: 50e9,
};
const works = { starts: true, found: 'starts' };
const backends = {
  cpu: works,
  wasm: works,
  'diffmavil-cpu': { starts: false, found: 'native: expected an addon, got none' },
};

const finding = (changes: Partial<Machine>, name: string, outcomes = backends as object) =>
  diagnose({ ...machine, ...changes }, outcomes as BackendOutcomes).find(
    (each) => each.name === name,
  );

describe('diagnose', () => {
  it('finds nothing missing on a good machine', () => {
    const findings = diagnose(machine, backends);
    expect(findings.filter(({ mark }) => mark === 'missing')).toEqual([]);
    expect(isHealthy(findings)).toBe(true);
    expect(findings.map(({ name }) => name)).toEqual([
      'node',
      'diffmavil',
      'tfjs',
      'backend cpu',
      'backend wasm',
      'backend diffmavil-cpu',
      'cpu',
      'gpu',
      'ffmpeg',
      'ffprobe',
      'libx264',
      'aac',
      'soxr',
      'disk',
    ]);
  });

  it('compares Node versions by number, not by letter', () => {
    expect(finding({ node: { version: '20.9.0', oldest: '20.19.0' } }, 'node')).toEqual({
      name: 'node',
      mark: 'missing',
      found: '20.9.0, older than 20.19.0',
      advice: 'install a current Node',
      required: true,
    });
    expect(finding({ node: { version: '100.0.0', oldest: '20.19.0' } }, 'node')?.mark).toBe('ok');
  });

  it('is unhealthy without ffmpeg, and says how to get it', () => {
    const error =
      'findFfmpeg: expected an ffmpeg executable, got none on PATH. Try: apt install ffmpeg.';
    const findings = diagnose({ ...machine, ffmpeg: { error } }, backends);
    expect(isHealthy(findings)).toBe(false);
    expect(findings.find(({ name }) => name === 'ffmpeg')).toMatchObject({
      mark: 'missing',
      found: 'expected an ffmpeg executable, got none on PATH',
      advice: 'apt install ffmpeg, brew install ffmpeg, or set DIFFMAVIL_FFMPEG to its path',
    });
  });

  it('stays healthy when an encoder of the demo clips is missing', () => {
    const facts = { ffmpeg: '7', ffprobe: '7', h264: false, aac: true, soxr: false };
    const findings = diagnose({ ...machine, ffmpeg: facts }, backends);
    expect(isHealthy(findings)).toBe(true);
    expect(findings.filter(({ mark }) => mark === 'missing').map(({ name }) => name)).toEqual([
      'libx264',
    ]);
    expect(findings.find(({ name }) => name === 'soxr')?.mark).toBe('note');
  });

  it('needs the plain backend, and can do without the others', () => {
    const fails = { starts: false, found: 'expected wasm to start, got a failure' };
    const broken = { cpu: works, wasm: fails };
    expect(isHealthy(diagnose(machine, broken))).toBe(true);
    expect(finding({}, 'backend wasm', broken)?.mark).toBe('missing');
    expect(isHealthy(diagnose(machine, { cpu: fails }))).toBe(false);
    expect(finding({}, 'backend diffmavil-cpu')).toMatchObject({
      mark: 'note',
      found: 'native: expected an addon, got none',
    });
  });

  it('says of a GPU that cannot be used what its error says to do', () => {
    const problem =
      'device: expected a GPU and its driver, got no driver: libcuda.so.1 is missing. ' +
      "Try: install NVIDIA's driver; in a container, hand the GPU in (--gpus all)";
    const outcomes = { cpu: works, 'diffmavil-cuda': { starts: false, ...readProblem(problem) } };
    expect(finding({}, 'backend diffmavil-cuda', outcomes)).toEqual({
      name: 'backend diffmavil-cuda',
      mark: 'note',
      found: 'device: expected a GPU and its driver, got no driver: libcuda.so.1 is missing',
      advice: "install NVIDIA's driver; in a container, hand the GPU in (--gpus all)",
      required: false,
    });
    expect(readProblem('native: expected an addon, got none that loads.\nTry: another')).toEqual({
      found: 'native: expected an addon, got none that loads',
      advice: null,
    });
  });

  it('names packages that are missing or differ in version', () => {
    const versions = { ...machine.packages, '@diffmavil/core': '0.2.0' };
    expect(finding({ packages: versions }, 'diffmavil')).toMatchObject({
      mark: 'note',
      found: 'trainer 0.1.0, core 0.2.0',
      advice: 'npm install the same version of each',
    });
    const absent = { ...machine.packages, '@diffmavil/core': null };
    expect(finding({ packages: absent }, '@diffmavil/core')).toMatchObject({
      mark: 'missing',
      advice: 'npm install @diffmavil/core',
    });
  });

  it('shows GPUs, or why none is visible', () => {
    expect(finding({ gpus: ['H200, 143771 MiB, 580.1'] }, 'gpu')?.found).toBe(
      'H200, 143771 MiB, 580.1',
    );
    expect(finding({ gpus: null }, 'gpu')?.found).toBe('none visible (no nvidia-smi)');
    expect(finding({ gpus: { error: 'no driver' } }, 'gpu')?.found).toBe(
      'none visible (no driver)',
    );
  });

  it('warns of a disk that is nearly full', () => {
    expect(finding({ freeDiskBytes: 1.25e9 }, 'disk')).toMatchObject({
      mark: 'note',
      found: '1.3 GB free in this folder',
    });
  });
});
