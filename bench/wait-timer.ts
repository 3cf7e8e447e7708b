// SPDX-License-Identifier: Apache-2.0
// How long a program waits for its backend: the time during which values are being read. What is left of a step is the host's own: queueing ops,
// and everything around them.
import * as tf from '@tensorflow/tfjs-core';

export interface WaitTimer {
  /** Since the start, of reads that have ended. */
  readonly waitedMs: () => number;
  /** Takes the timer off the backend. */
  readonly stop: () => void;
}

type Reads = Pick<tf.KernelBackend, 'read' | 'readSync'>;

/** Times the reads of the active backend; reads at the same time count once. */
export function startWaitTimer(): WaitTimer {
  const backend: Reads = tf.backend();
  const original = { read: backend.read.bind(backend), readSync: backend.readSync.bind(backend) };
  let [open, since, sum] = [0, 0, 0];
  const begin = (): void => {
    if (open++ === 0) since = performance.now();
  };
  const end = (): void => {
    if (--open === 0) sum += performance.now() - since;
  };
  backend.read = async (dataId) => {
    begin();
    try {
      return await original.read(dataId);
    } finally {
      end();
    }
  };
  backend.readSync = (dataId) => {
    begin();
    try {
      return original.readSync(dataId);
    } finally {
      end();
    }
  };
  return {
    waitedMs: () => sum,
    stop: () => {
      // The methods of the class show again.
      delete (backend as Partial<Reads>).read;
      delete (backend as Partial<Reads>).readSync;
    },
  };
}
