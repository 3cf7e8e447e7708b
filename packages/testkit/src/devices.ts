// SPDX-License-Identifier: Apache-2.0
// The backends that tests run on: `describe.each(devices)('…', (device) => { beforeAll(device.use); … })`.
import '@tensorflow/tfjs-backend-cpu';
import '@tensorflow/tfjs-backend-wasm';
import * as tf from '@tensorflow/tfjs-core';

export interface Device {
  readonly name: string;
  /** Makes the backend the active one, with the engine's own leak check of every kernel on. */
  readonly use: () => Promise<void>;
}

/** Every backend of this machine that the repository supports. */
export const devices: readonly Device[] = ['cpu', 'wasm'].map((name) => ({
  name,
  use: () => useBackend(name),
}));

async function useBackend(name: string): Promise<void> {
  // IS_TEST checks each kernel for leaks, and keeps tfjs from advertising its other backends on the console.
  tf.env().set('IS_TEST', true);
  if (!(await tf.setBackend(name))) throw new Error(`devices: expected backend ${name} to start`);
  await tf.ready();
}
