// SPDX-License-Identifier: Apache-2.0
// Values and gradients: twins.test.ts, golden.test.ts. Here: the same bits as of the two ops that it
// stands for, what is kept for the gradient, what is computed in it, none masked, errors.
import * as tf from '@tensorflow/tfjs-core';
import { devices, savedBytes } from '@diffmavil/testkit';
import { beforeAll, describe, expect, it } from 'vitest';
import '../register-gradients.ts';
import { valueAndGrads } from '../autodiff.ts';
import { disposeTree, tensorsIn } from '../trees.ts';
import { fold, keysTensorData, makeKey } from '../random.ts';
import type { LinearParameters } from './attention-branch.ts';
import { diffuse, type DiffusedPatches } from './diffuse.ts';
import { diffusedLinear } from './diffused-linear.ts';
import { linear } from './linear.ts';
import { draw } from './test-twin.ts';

const [batch, tokens, masked, patchValues, outWidth] = [2, 6, 5, 64, 3];
const xtBytes = 4 * batch * masked * patchValues;

type Op = (x: DiffusedPatches, parameters: LinearParameters) => tf.Tensor;

const ofTwoOps: Op = ({ patches, indices, signal, noiseScale, noise }, { weight, bias }) =>
  linear(diffuse(patches, indices, signal, noiseScale, noise), weight, bias, {
    inputGradient: false,
  });

function inputs(kind: 'keys' | 'values'): DiffusedPatches {
  const keys = [fold(makeKey(1), 'a'), fold(makeKey(1), 'b')];
  const indices = [
    [5, 1, 0, 2, 3],
    [0, 1, 2, 3, 4],
  ];
  return {
    patches: draw([batch, tokens, patchValues], 'patches'),
    indices: tf.tensor2d(indices, [batch, masked], 'int32'),
    signal: tf.tensor1d([0.6, 0.3]),
    noiseScale: tf.tensor1d([0.8, 0.9]),
    noise:
      kind === 'keys'
        ? { keys: tf.tensor2d(keysTensorData(keys), [batch, 4], 'int32') }
        : { values: draw([batch, masked, patchValues], 'noise') },
  };
}

const parameters = (): { weight: tf.Tensor; bias: tf.Tensor } => ({
  weight: draw([outWidth, patchValues], 'weight'),
  bias: draw([outWidth], 'bias'),
});

interface Step {
  /** Values of y and of the gradients of the weight and the bias. */
  readonly values: readonly tf.TypedArray[];
  /** Buffers that are there after the forward pass and were not before it. */
  readonly newBuffers: number;
  /** Of what the tape saved, without weights and inputs. */
  readonly tapeBytes: number;
}

function step(op: Op, x: DiffusedPatches): Step {
  const weights = parameters();
  let [newBuffers, tapeBytes] = [0, 0];
  const { outputs, grads } = valueAndGrads(() => {
    const before = tf.memory().numDataBuffers;
    const y = tf.tidy(() => op(x, weights));
    newBuffers = tf.memory().numDataBuffers - before;
    tapeBytes = savedBytes(y, Object.values(weights), tensorsIn(x));
    return { loss: tf.sum<tf.Scalar>(tf.mul(y, draw(y.shape, 'dy'))), y };
  }, weights);
  const values = [outputs.y, grads.weight, grads.bias].map((one) => one.dataSync());
  disposeTree([weights, outputs, grads]);
  return { values, newBuffers, tapeBytes };
}

describe.each(devices)('diffusedLinear on $name', (device) => {
  beforeAll(device.use);

  it.each(['keys', 'values'] as const)(
    'has the bits of linear(diffuse(...)), value and gradients, noise by %s',
    (kind) => {
      tf.tidy(() => {
        const x = inputs(kind);
        expect(step(diffusedLinear, x).values).toEqual(step(ofTwoOps, x).values);
      });
    },
  );

  it('computes no gradient of patches that nobody asks for', async () => {
    const x = inputs('keys');
    const { kernelNames } = await tf.profile(() => {
      step(diffusedLinear, x);
      return tf.scalar(0);
    });
    expect(kernelNames).toContain('DmDiffusedLinearGrad');
    expect(kernelNames).not.toContain('DmScatterTokens');
    disposeTree(x);
  });

  it('takes no patches: nothing is masked', () => {
    tf.tidy(() => {
      const x = { ...inputs('keys'), indices: tf.tensor2d([], [batch, 0], 'int32') };
      expect(diffusedLinear(x, parameters()).shape).toEqual([batch, 0, outWidth]);
    });
  });

  it('names what is wrong', () => {
    tf.tidy(() => {
      const [x, { weight, bias }] = [inputs('keys'), parameters()];
      expect(() => diffusedLinear({ ...x, patches: bias }, { weight, bias })).toThrow(
        'diffusedLinear: patches: expected [batch, tokens, patchValues], got [3]',
      );
      expect(() => diffusedLinear({ ...x, signal: bias }, { weight, bias })).toThrow(
        'diffusedLinear: signal: expected [batch = 2], got [3]',
      );
      expect(() => diffusedLinear(x, { weight: tf.ones([3, 63]), bias })).toThrow(
        'diffusedLinear: weight: expected [outWidth, patchValues = 64], got [3, 63]',
      );
      expect(() => diffusedLinear(x, { weight, bias: tf.ones([2]) })).toThrow(
        'diffusedLinear: bias: expected [outWidth = 3], got [2]',
      );
      expect(() => diffusedLinear(x, { weight, bias }, { precision: 'bfloat16' })).toThrow(
        "linear: expected a backend with bfloat16 kernels for precision 'bfloat16', got " +
          `'${device.name}'. Try: precision 'float32'`,
      );
    });
  });
});

// Where a second reference to a tensor is no copy, as it is on wasm.
describe('diffusedLinear on cpu', () => {
  beforeAll(() => devices[0]?.use());

  it.each(['keys', 'values'] as const)('keeps no x_t for its gradient, noise by %s', (kind) => {
    tf.tidy(() => {
      const x = inputs(kind);
      expect(step(diffusedLinear, x)).toMatchObject({ newBuffers: 1, tapeBytes: 0 });
      expect(step(ofTwoOps, x)).toMatchObject({ newBuffers: 2, tapeBytes: xtBytes });
    });
  });
});
