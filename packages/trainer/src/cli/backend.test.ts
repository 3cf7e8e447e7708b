// SPDX-License-Identifier: Apache-2.0
// Which backend is taken where the native one cannot be: its addon is looked for once per process, so this file has one of its own.
import { once } from 'node:events';
import { expect, it } from 'vitest';
import { useBackend } from './backend.ts';

it('goes on with another backend where the native one does not load, and says why', async () => {
  process.env['DIFFMAVIL_NATIVE_PATH'] = '/nowhere/diffmavil.node';
  process.removeAllListeners('warning'); // Node's own prints it
  const warned = once(process, 'warning');
  expect(await useBackend('auto')).toBe('wasm');
  const [warning] = (await warned) as [Error & { code: string }];
  expect(warning.code).toBe('DIFFMAVIL_NATIVE_FALLBACK');
  expect(warning.message).toMatch(
    /^native: expected an addon for \S+ \(Node v[\d.]+\), got none that loads\. Going on with a slower backend\. Try: diffmavil doctor$/,
  );
});

it('does not take another backend in place of the native one that was asked for', async () => {
  await expect(useBackend('diffmavil-cpu')).rejects.toThrow(/^native: expected an addon/);
});
