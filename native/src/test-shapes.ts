// SPDX-License-Identifier: Apache-2.0
// Random shapes and tensors for tests that compare a kernel with tfjs's own; the same ones in every run.
import { fold, makeKey, uniformStream } from '@diffmavil/core';
import * as tf from '@tensorflow/tfjs-core';

export type NativeDtype = 'float32' | 'int32' | 'bool';

export class Fuzz {
  readonly #next: () => number;

  constructor(...name: (string | number)[]) {
    this.#next = uniformStream(fold(makeKey(20231004), ...name));
  }

  /** An integer, both ends included. */
  integer(least: number, most: number): number {
    return least + Math.floor(this.#next() * (most - least + 1));
  }

  pick<T>(choices: readonly T[]): T {
    return choices[this.integer(0, choices.length - 1)]!;
  }

  /** One of the dtypes that live in native buffers. */
  dtype(): NativeDtype {
    return this.pick(['float32', 'int32', 'bool'] as const);
  }

  /** Mostly short axes, now and then none or a long one, of at most some 20,000 elements in all. */
  shape(leastRank: number, mostRank: number): number[] {
    const shape = Array.from({ length: this.integer(leastRank, mostRank) }, () =>
      this.pick([1, 2, 3, 4, 5, 7]),
    );
    if (shape.length > 0 && this.integer(0, 3) === 0) {
      shape[this.integer(0, shape.length - 1)] = this.pick([0, 1, 33, 70]);
    }
    return shape;
  }

  /** 0..length-1 in another order. */
  order(length: number): number[] {
    const keys = Array.from({ length }, (_, i) => [this.#next(), i] as const);
    return keys.sort(([a], [b]) => a - b).map(([, i]) => i);
  }

  /** A function that makes the tensor, for each backend its own. */
  tensor(shape: number[], dtype: NativeDtype): () => tf.Tensor {
    const size = shape.reduce((product, n) => product * n, 1);
    const values = Array.from({ length: size }, () => {
      if (dtype === 'bool') return this.integer(0, 1);
      return dtype === 'int32' ? this.integer(-1000, 1000) : Math.fround(this.#next() * 4 - 2);
    });
    return () => tf.tensor(values, shape, dtype);
  }
}
