// SPDX-License-Identifier: Apache-2.0
import { devices, expectNoLeak } from '@diffmavil/testkit';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { valueAndGrads } from './autodiff.ts';
import { checkpoint } from './checkpoint.ts';
import { ConfigError } from './errors.ts';
import { fold, makeKey, normals } from './random.ts';
import { disposeTree } from './trees.ts';

type Fn = (...inputs: tf.Tensor[]) => tf.Tensor;
type Apply = (fn: Fn, inputs: tf.Tensor[]) => tf.Tensor;

const apply: Apply = (fn, inputs) => fn(...inputs);
const key = makeKey(11);

function normal(name: string, rows: number): tf.Tensor2D {
  return tf.tensor2d(normals(fold(key, name), rows * 4), [rows, 4]);
}

/** Uses x and w twice. */
const block: Fn = (x, w) => tf.add(tf.tanh(tf.matMul(x, w)), tf.mul(x, tf.mean(w)));

/** The loss and gradients of four blocks, the middle two within one more application. */
function gradients(apply: Apply, nested: Apply): number[][] {
  return expectNoLeak(() => {
    const [a, b, c, d] = ['a', 'b', 'c', 'd'].map((name) => normal(name, 4));
    const parameters = { a: a!, b: b!, c: c!, d: d!, x: normal('x', 3) };
    const middle: Fn = (x, b, c) => nested(block, [nested(block, [x, b]), c]);
    const loss = ({ a, b, c, d, x }: typeof parameters): tf.Scalar => {
      const y = apply(middle, [apply(block, [x, a]), b, c]);
      return tf.sum(tf.square(apply(block, [y, d])));
    };
    const { outputs, grads } = valueAndGrads(() => ({ loss: loss(parameters) }), parameters);
    const values = [outputs.loss, ...Object.values(grads)].map((t) => [...t.dataSync()]);
    disposeTree([parameters, outputs, grads]);
    return values;
  });
}

describe.each(devices)('checkpoint on $name', (device) => {
  beforeAll(device.use);

  it('gives the gradients of plain calls to the last bit', () => {
    expect(gradients(checkpoint, apply)).toEqual(gradients(apply, apply));
  });

  it('may be nested', () => {
    expect(gradients(checkpoint, checkpoint)).toEqual(gradients(apply, apply));
  });

  it('gives the gradients of plain calls under tf.grads too', () => {
    expectNoLeak(() => {
      const inputs = [normal('x', 3), normal('a', 4), normal('b', 4)];
      const run = (apply: Apply): number[][] => {
        const f: Fn = (x, a, b) => tf.sum(apply(block, [apply(block, [x, a]), b]));
        const grads = tf.grads(f)(inputs);
        const values = grads.map((grad) => [...grad.dataSync()]);
        disposeTree(grads);
        return values;
      };
      expect(run(checkpoint)).toEqual(run(apply));
      disposeTree(inputs);
    });
  });

  it('adds up the gradients of a parameter of two stretches', () => {
    expectNoLeak(() => {
      const w = tf.scalar(3);
      const square: Fn = (x, w) => tf.mul(x, tf.square(w));
      const { outputs, grads } = valueAndGrads(
        () => ({ loss: checkpoint(square, [checkpoint(square, [w, w]), w]) }),
        { w },
      );
      // w^5
      expect([outputs.loss.arraySync(), grads.w.arraySync()]).toEqual([243, 405]);
      disposeTree([w, outputs, grads]);
    });
  });

  it('passes integer inputs on and gives them no gradient', () => {
    expectNoLeak(() => {
      const w = tf.tensor2d([1, 2, 3, 4, 5, 6], [3, 2]);
      const rows = tf.tensor1d([2, 0, 2], 'int32');
      const oneHot: Fn = (w, rows) =>
        tf.matMul(
          tf.cast<tf.Tensor2D>(tf.oneHot(rows as tf.Tensor1D, 3) as tf.Tensor2D, 'float32'),
          w,
        );
      const { outputs, grads } = valueAndGrads(
        () => ({ loss: tf.sum(tf.square(checkpoint(oneHot, [w, rows]))) }),
        { w },
      );
      expect(grads.w.arraySync()).toEqual([
        [2, 4],
        [0, 0],
        [20, 24],
      ]);
      disposeTree([w, rows, outputs, grads]);
    });
  });

  it('takes a fn that returns an input, ignores one, or gets one twice', () => {
    expectNoLeak(() => {
      const [a, b] = [tf.scalar(3), tf.scalar(5)];
      const { outputs, grads } = valueAndGrads(
        () => {
          const product = checkpoint((x, y, _ignored) => tf.mul(x, y), [a, a, b]);
          return { loss: checkpoint((x, _ignored) => x, [product, b]) };
        },
        { a, b },
      );
      expect([outputs.loss, grads.a, grads.b].map((t) => t.arraySync())).toEqual([9, 6, 0]);
      disposeTree([a, b, outputs, grads]);
    });
  });

  it('runs fn once and keeps nothing when no gradient is asked for', () => {
    expectNoLeak(() => {
      const a = tf.scalar(3);
      let calls = 0;
      const y = checkpoint(
        (x) => {
          calls++;
          return tf.square(tf.square(x));
        },
        [a],
      );
      expect([calls, y.arraySync()]).toEqual([1, 81]);
      disposeTree([a, y]);
    });
  });
});

describe('checkpoint, when something fails,', () => {
  beforeAll(devices[0]!.use);

  it('refuses a parameter that fn captures instead of getting it', () => {
    expectNoLeak(() => {
      const [w, x] = [normal('a', 4), normal('x', 3)];
      const loss = (): tf.Scalar => tf.sum(checkpoint((x) => block(x, w), [x]));
      expect(() => valueAndGrads(() => ({ loss: loss() }), { w, x })).toThrow(
        new ConfigError(
          'checkpoint: expected every tensor with a gradient among the inputs, ' +
            'got another one of shape [4, 4] used by fn. Try: pass it in inputs',
        ),
      );
      disposeTree([w, x]);
    });
  });

  it('refuses it from a nested checkpoint too, and lets constants be captured', () => {
    expectNoLeak(() => {
      const [w, x] = [normal('a', 4), normal('x', 3)];
      const loss = (): tf.Scalar =>
        tf.sum(checkpoint((x) => checkpoint((x) => block(x, w), [tf.exp(x)]), [x]));
      expect(() => valueAndGrads(() => ({ loss: loss() }), { w, x })).toThrow(ConfigError);
      const { outputs, grads } = valueAndGrads(() => ({ loss: loss() }), { x });
      expect(grads.x.shape).toEqual([3, 4]);
      disposeTree([w, x, outputs, grads]);
    });
  });

  it('leaves nothing behind when fn throws, forward or on the way back', () => {
    expectNoLeak(() => {
      const w = tf.scalar(3);
      for (const failing of [1, 2]) {
        let call = 0;
        const fn: Fn = (x) => {
          const y = tf.square(tf.square(x));
          if (++call === failing) throw new Error(`call ${call}`);
          return y;
        };
        const loss = (): tf.Scalar => tf.sum(tf.square(checkpoint(fn, [tf.square(w)])));
        expect(() => valueAndGrads(() => ({ loss: loss() }), { w })).toThrow(`call ${failing}`);
      }
      w.dispose();
    });
  });

  it('refuses a fn that returns anything but a float32 tensor', () => {
    expectNoLeak(() => {
      const w = tf.scalar(3);
      expect(() => checkpoint((() => 3) as unknown as Fn, [w])).toThrow(
        new ConfigError('checkpoint: expected fn to return one float32 tensor, got number'),
      );
      expect(() => checkpoint((x) => tf.cast(x, 'int32'), [w])).toThrow(
        new ConfigError(
          'checkpoint: expected fn to return one float32 tensor, got a tensor of dtype int32',
        ),
      );
      w.dispose();
    });
  });
});
