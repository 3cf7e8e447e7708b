// SPDX-License-Identifier: Apache-2.0
import { devices, expectClose, expectNoLeak, finiteDifference } from '@diffmavil/testkit';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { valueAndGrads, withoutGradients } from './autodiff.ts';
import { ConfigError, ShapeError } from './errors.ts';
import { makeKey, fold, normals } from './random.ts';
import { checkTfjsVersion, engineInternals } from './tfjs-engine.ts';
import { disposeTree } from './trees.ts';

const key = makeKey(7);

function normal(name: string, shape: number[]): tf.Tensor {
  return tf.tensor(normals(fold(key, name), tf.util.sizeFromShape(shape)), shape);
}

interface Mlp extends Record<string, tf.Tensor> {
  readonly w1: tf.Tensor2D;
  readonly b1: tf.Tensor1D;
  readonly w2: tf.Tensor2D;
}

function makeMlp(): Mlp {
  return {
    w1: normal('w1', [5, 4]) as tf.Tensor2D,
    b1: normal('b1', [4]) as tf.Tensor1D,
    w2: normal('w2', [4, 4]) as tf.Tensor2D,
  };
}

/** Fan-out of activations, and parameters used several times. */
function mlpLoss({ w1, b1, w2 }: Mlp, x: tf.Tensor2D): tf.Scalar {
  const h = tf.tanh<tf.Tensor2D>(tf.add(tf.matMul(x, w1), b1));
  const residual = tf.add(tf.matMul(tf.sigmoid<tf.Tensor2D>(tf.matMul(h, w2)), w2), h);
  const [left, right] = tf.split(residual, 2, 1) as [tf.Tensor, tf.Tensor];
  const mixed = tf.mul(tf.add(left, tf.mul(left, right)), tf.sum(b1));
  return tf.mean(tf.square(mixed));
}

describe.each(devices)('valueAndGrads on $name', (device) => {
  beforeAll(device.use);

  it('takes what withoutGradients gives for a constant: d(x * [x^2]) = [x^2]', () => {
    expectNoLeak(() => {
      const x = tf.tensor1d([1, 2, 3]);
      const { outputs, grads } = valueAndGrads(
        () => ({
          loss: tf.sum<tf.Scalar>(
            tf.mul(
              x,
              withoutGradients(() => tf.square(x)),
            ),
          ),
        }),
        { x },
      );
      expect([...outputs.loss.dataSync(), ...grads.x.dataSync()]).toEqual([36, 1, 4, 9]);
      disposeTree([x, outputs, grads]);
    });
  });

  it('gives the loss and gradients of tf.variableGrads to the last bit', () => {
    expectNoLeak(() => {
      const parameters = makeMlp();
      const x = normal('x', [3, 5]) as tf.Tensor2D;
      const variables = Object.fromEntries(
        Object.entries(parameters).map(([name, value]) => [name, tf.variable(value)]),
      );
      const stock = tf.variableGrads(() => mlpLoss(variables as unknown as Mlp, x));
      const { outputs, grads } = valueAndGrads(
        () => ({ loss: mlpLoss(parameters, x) }),
        parameters,
      );
      expect([...outputs.loss.dataSync()]).toEqual([...stock.value.dataSync()]);
      expect(Object.keys(grads)).toEqual(['w1', 'b1', 'w2']);
      for (const [name, grad] of Object.entries(grads)) {
        const expected = stock.grads[variables[name]!.name]!;
        expect([...grad.dataSync()]).toEqual([...expected.dataSync()]);
      }
      disposeTree([parameters, variables, x, outputs, grads, stock.value, stock.grads]);
    });
  });

  it('agrees with finite differences', () => {
    expectNoLeak(() => {
      const parameters = makeMlp();
      const x = normal('x', [3, 5]) as tf.Tensor2D;
      const { w1, b1, w2 } = parameters;
      const { outputs, grads } = valueAndGrads(
        () => ({ loss: mlpLoss(parameters, x) }),
        parameters,
      );
      const numeric = finiteDifference(
        (w1, b1, w2) => mlpLoss({ w1, b1, w2 } as unknown as Mlp, x),
        [w1, b1, w2],
      );
      // float32 loss of about 10: noise of 1e-6 over a step of 1e-2.
      for (const [i, grad] of Object.values(grads).entries()) {
        expectClose(grad, numeric[i]!, { nmse: 1e-7 });
      }
      expect(numeric.map((values) => values.length)).toEqual([20, 4, 16]);
      disposeTree([parameters, x, outputs, grads]);
    });
  });

  it('gives zeros to parameters that the loss does not depend on', () => {
    expectNoLeak(() => {
      const used = tf.tensor1d([1, 2]);
      const unused = tf.tensor2d([[1, 2, 3]]);
      const { outputs, grads } = valueAndGrads(
        () => ({ loss: tf.sum(used), aside: tf.square(unused) }),
        { used, unused },
      );
      expect([...grads.used.dataSync()]).toEqual([1, 1]);
      expect(grads.unused.arraySync()).toEqual([[0, 0, 0]]);
      expect([...outputs.aside.dataSync()]).toEqual([1, 4, 9]);
      disposeTree([used, unused, outputs, grads]);
    });
  });

  it('takes a loss that depends on nothing', () => {
    expectNoLeak(() => {
      const w = tf.tensor1d([1, 2]);
      const constant = tf.scalar(3);
      const { outputs, grads } = valueAndGrads(() => ({ loss: constant }), { w });
      expect(outputs.loss).not.toBe(constant);
      expect([outputs.loss.arraySync(), grads.w.arraySync()]).toEqual([3, [0, 0]]);
      disposeTree([outputs, grads]);
      expect(constant.isDisposed).toBe(false);
      disposeTree([w, constant]);
    });
  });

  it('takes a loss and outputs that are parameters themselves', () => {
    expectNoLeak(() => {
      const w = tf.scalar(3);
      const other = tf.tensor1d([1, 2]);
      const { outputs, grads } = valueAndGrads(() => ({ loss: w, other }), { w, other });
      expect([grads.w.arraySync(), grads.other.arraySync()]).toEqual([1, [0, 0]]);
      disposeTree([outputs, grads]);
      expect([w.isDisposed, other.isDisposed]).toEqual([false, false]);
      disposeTree([w, other]);
    });
  });

  it('gives a tensor that is a parameter under two names two gradients', () => {
    expectNoLeak(() => {
      const w = tf.tensor1d([1, 2]);
      const { outputs, grads } = valueAndGrads(() => ({ loss: tf.sum(tf.square(w)) }), {
        a: w,
        b: w,
      });
      grads.a.dispose();
      expect(grads.b.arraySync()).toEqual([2, 4]);
      disposeTree([w, outputs, grads]);
    });
  });

  it('takes tensors for scopes: a tidy around it disposes what is not returned', () => {
    expectNoLeak(() => {
      const w = tf.tensor1d([1, 2]);
      const grad = tf.tidy(
        () => valueAndGrads(() => ({ loss: tf.sum(tf.square(w)) }), { w }).grads.w,
      );
      expect(grad.arraySync()).toEqual([2, 4]);
      disposeTree([w, grad]);
    });
  });

  it('fills in zeros for outputs that the loss does not use', () => {
    expectNoLeak(() => {
      const w = tf.tensor1d([1, 2, 3, 4]);
      const { outputs, grads } = valueAndGrads(
        () => {
          const [, second] = tf.split(w, 2) as [tf.Tensor, tf.Tensor];
          return { loss: tf.sum(tf.square(second)) };
        },
        { w },
      );
      expect(grads.w.arraySync()).toEqual([0, 0, 6, 8]);
      disposeTree([w, outputs, grads]);
    });
  });

  it('works inside another gradient, to which its results are constants', () => {
    expectNoLeak(() => {
      const w = tf.tensor1d([1, 2]);
      const f = (): tf.Scalar => {
        const inner = valueAndGrads(() => ({ loss: tf.sum(tf.square(w)) }), { w });
        return tf.sum(tf.mul(w, inner.grads.w));
      };
      const { outputs, grads } = valueAndGrads(() => ({ loss: f() }), { w });
      const stock = tf.tidy(() => tf.grad(f)(w));
      // sum(w * 2w) with the 2w held constant.
      expect([outputs.loss.arraySync(), grads.w.arraySync()]).toEqual([10, [2, 4]]);
      expect(stock.arraySync()).toEqual([2, 4]);
      disposeTree([w, outputs, grads, stock]);
    });
  });

  it('reports each gradient as soon as it is final', () => {
    expectNoLeak(() => {
      const [a, b, c, unused] = [1, 2, 3, 4].map((value) => tf.scalar(value)) as [
        tf.Scalar,
        tf.Scalar,
        tf.Scalar,
        tf.Scalar,
      ];
      const events: string[] = [];
      const square = tf.customGrad((x) => ({
        value: tf.square(x as tf.Tensor),
        gradFunc: (dy) => {
          events.push('square');
          return tf.mul(dy, tf.mul(2, a));
        },
      }));
      const { outputs, grads } = valueAndGrads(
        () => ({ loss: tf.mul(tf.mul(square(a), tf.mul(a, b)), c) }),
        { a, b, c, unused },
        { onGradient: (name, gradient) => events.push(`${name} ${gradient.dataSync()[0]}`) },
      );
      // loss = a^3 b c
      expect(events).toEqual(['c 2', 'b 3', 'square', 'a 18', 'unused 0']);
      disposeTree([a, b, c, unused, outputs, grads]);
    });
  });
});

describe('valueAndGrads, when something fails,', () => {
  beforeAll(devices[0]!.use);
  const broken = tf.customGrad((x) => ({
    value: tf.square(x as tf.Tensor),
    gradFunc: () => {
      throw new Error('no way back');
    },
  }));

  /** The message of what `call` throws, once it is sure that tensors and engine are as before. */
  function messageOf(call: () => unknown): string {
    const stateNow = (): string => {
      const { activeTape, gradientDepth, kernelDepth, activeScope } = engineInternals().state;
      return JSON.stringify([activeTape, gradientDepth, kernelDepth, activeScope]);
    };
    const before = stateNow();
    return expectNoLeak(() => {
      try {
        call();
      } catch (error) {
        return stateNow() === before ? (error as Error).message : 'engine state changed';
      }
      return 'nothing thrown';
    });
  }

  it('leaves nothing behind when f throws', () => {
    const w = tf.tensor1d([1, 2]);
    const call = (): unknown =>
      valueAndGrads(
        () => {
          tf.square(tf.square(w));
          throw new Error('no way forward');
        },
        { w },
      );
    expect(messageOf(call)).toBe('no way forward');
    w.dispose();
  });

  it('leaves nothing behind when a gradient throws', () => {
    const w = tf.tensor1d([1, 2]);
    const loss = (): tf.Scalar => tf.sum(tf.mul(tf.exp(broken(tf.exp(w))), tf.exp(w)));
    expect(messageOf(() => valueAndGrads(() => ({ loss: loss() }), { w }))).toBe('no way back');
    w.dispose();
  });

  it('leaves nothing behind when onGradient throws', () => {
    const w = tf.tensor1d([1, 2]);
    const onGradient = (): void => {
      throw new Error('no taker');
    };
    const call = (): unknown =>
      valueAndGrads(() => ({ loss: tf.sum(tf.exp(w)) }), { w }, { onGradient });
    expect(messageOf(call)).toBe('no taker');
    w.dispose();
  });

  it('refuses an async f', () => {
    const w = tf.scalar(1);
    const f = (async () => ({ loss: tf.square(w) })) as unknown as () => { loss: tf.Tensor };
    expect(messageOf(() => valueAndGrads(f, { w }))).toBe(
      'valueAndGrads: expected f to return a record of tensors, got a promise. Try: await what f needs before the call',
    );
    w.dispose();
  });

  it('refuses a loss that is no float32 scalar', () => {
    const w = tf.tensor1d([1, 2]);
    expect(() => valueAndGrads(() => ({ loss: tf.square(w) }), { w })).toThrow(
      new ShapeError('valueAndGrads: loss: expected [], got [2]'),
    );
    expect(() => valueAndGrads(() => ({ loss: tf.argMax(w) }), { w })).toThrow(
      new ShapeError('valueAndGrads: loss: expected float32, got int32'),
    );
    expect(() => valueAndGrads((() => ({})) as () => { loss: tf.Tensor }, { w })).toThrow(
      new ShapeError(
        'valueAndGrads: expected f to return a record whose loss is a tensor, got a loss of type undefined',
      ),
    );
    w.dispose();
  });

  it('refuses parameters that are not float32', () => {
    const step = tf.scalar(1, 'int32');
    expect(() => valueAndGrads(() => ({ loss: tf.scalar(1) }), { step })).toThrow(
      new ShapeError('valueAndGrads: parameter step: expected float32, got int32'),
    );
    step.dispose();
  });

  it('names the kernel that has no gradient, and the input whose gradient is missing or misshapen', () => {
    const w = tf.tensor1d([1, 2]);
    const cumulative = (): { loss: tf.Tensor } => ({ loss: tf.sum(tf.cumprod(w)) });
    const message = (): string => messageOf(() => valueAndGrads(cumulative, { w }));
    expect(message()).toBe(
      'backward: expected kernel Cumprod to have a gradient, got none registered',
    );
    const kernelName = 'Cumprod';
    tf.registerGradient({ kernelName, gradFunc: () => ({ exclusive: () => tf.scalar(1) }) });
    expect(message()).toBe(
      'backward: expected Cumprod to have a gradient of x, got those of exclusive',
    );
    tf.registerGradient({ kernelName, gradFunc: (dy) => ({ x: () => tf.sum(dy as tf.Tensor) }) });
    expect(message()).toBe(
      'backward: Cumprod: gradient of x: expected float32 [2], got float32 []',
    );
    tf.unregisterGradient('Cumprod');
    w.dispose();
  });

  it('refuses a tfjs-core that was never tried', () => {
    expect(() => checkTfjsVersion('valueAndGrads', '4.24.0')).toThrow(
      new ConfigError(
        'valueAndGrads: expected @tensorflow/tfjs-core 4.22 or 4.23, got 4.24.0. ' +
          'Try: npm install @tensorflow/tfjs-core@4.22.0',
      ),
    );
    expect(() => checkTfjsVersion('valueAndGrads')).not.toThrow();
  });
});
