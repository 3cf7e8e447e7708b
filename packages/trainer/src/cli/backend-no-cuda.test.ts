// SPDX-License-Identifier: Apache-2.0
// What happens where a GPU is required and there is none: the device is looked for once per process, so this file has one of its own.
import { expect, it } from 'vitest';
import { useBackend } from './backend.ts';

it('does not take another backend in place of a GPU that DIFFMAVIL_CUDA=require asks for', async () => {
  process.env['DIFFMAVIL_CUDA'] = 'require';
  process.env['DIFFMAVIL_CUDA_PATH'] = '/nowhere/libdiffmavil_cuda.so';
  const sentence =
    /^cuda: expected libdiffmavil_cuda\.so, got none at \/nowhere\/libdiffmavil_cuda\.so\. Try: npm install @diffmavil\/native-linux-x64-cuda/;
  await expect(useBackend('auto')).rejects.toThrow(sentence);
  await expect(useBackend('diffmavil-cuda')).rejects.toThrow(sentence);
});
