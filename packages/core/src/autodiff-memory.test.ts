// SPDX-License-Identifier: Apache-2.0
// Peak memory, on a backend that computes nothing and counts bytes.
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { valueAndGrads } from './autodiff.ts';
import { checkpoint } from './checkpoint.ts';
import { disposeTree } from './trees.ts';

interface Entry {
  readonly sizeBytes: number;
  references: number;
}

class CountingBackend extends tf.KernelBackend {
  readonly entries: tf.DataStorage<Entry> = new tf.DataStorage(this, tf.engine());
  bytes = 0;
  peak = 0;

  override numDataIds(): number {
    return this.entries.numDataIds();
  }

  override write(_values: tf.BackendValues, shape: number[]): tf.DataId {
    const sizeBytes = 4 * tf.util.sizeFromShape(shape);
    const dataId = {};
    this.entries.set(dataId, { sizeBytes, references: 1 });
    this.bytes += sizeBytes;
    this.peak = Math.max(this.peak, this.bytes);
    return dataId;
  }

  override incRef(dataId: tf.DataId): void {
    this.entries.get(dataId).references++;
  }

  override disposeData(dataId: tf.DataId, force: boolean = false): boolean {
    const entry = this.entries.get(dataId);
    entry.references--;
    if (entry.references > 0 && !force) return false;
    this.bytes -= entry.sizeBytes;
    return this.entries.delete(dataId);
  }
}

const backend = new CountingBackend();
const size = 1000;
/** Of each call of the kernel Fill. */
const filledShapes: number[][] = [];

function register(
  kernelName: string,
  shapeOfOutput: (inputs: tf.NamedTensorInfoMap, attrs: tf.NamedAttrMap) => number[],
): void {
  const kernelFunc: tf.KernelFunc = ({ inputs, attrs = {} }) => {
    const shape = shapeOfOutput(inputs, attrs);
    return { dataId: backend.write(new Float32Array(), shape), shape, dtype: 'float32' };
  };
  tf.registerKernel({ kernelName, backendName: 'counting', kernelFunc });
}

function shareInput({ inputs }: { inputs: tf.NamedTensorInfoMap }): tf.TensorInfo {
  const { dataId, shape, dtype } = inputs['x']!;
  backend.incRef(dataId);
  return { dataId, shape, dtype };
}

/** y of x, for which the gradient needs x. */
function layer(x: tf.Tensor): tf.Tensor {
  return tf.engine().runKernel<tf.Tensor>('TestLayer', { x });
}

function chain(x: tf.Tensor, layers: number): tf.Tensor {
  let y = x;
  for (let i = 0; i < layers; i++) y = layer(y);
  return y;
}

/** The most bytes `call` needs beyond what is there before it, counted in activations; checks that it leaves none. */
function peakOf(call: () => unknown): number {
  const before = backend.bytes;
  backend.peak = before;
  disposeTree(call());
  expect(backend.bytes).toBe(before);
  return Math.round((backend.peak - before) / (4 * size));
}

beforeAll(async () => {
  tf.registerBackend('counting', () => backend);
  await tf.setBackend('counting');
  tf.env().set('IS_TEST', true);
  for (const kernelName of ['Identity', 'Cast']) {
    tf.registerKernel({
      kernelName,
      backendName: 'counting',
      kernelFunc: shareInput,
    });
  }
  register('Sum', () => []);
  register('Add', (inputs) => inputs['a']!.shape);
  register('Fill', (_inputs, attrs) => {
    const shape = attrs['shape'] as number[];
    filledShapes.push(shape);
    return shape;
  });
  register('TestLayer', (inputs) => inputs['x']!.shape);
  register('TestLayerGrad', (inputs) => inputs['dy']!.shape);
  tf.registerGradient({
    kernelName: 'TestLayer',
    inputsToSave: ['x'],
    gradFunc: (dy, [x]) => ({
      x: () => tf.engine().runKernel<tf.Tensor>('TestLayerGrad', { dy: dy as tf.Tensor, x: x! }),
    }),
  });
  tf.registerGradient({
    kernelName: 'Sum',
    inputsToSave: ['x'],
    gradFunc: (_dy, [x]) => ({ x: () => tf.fill(x!.shape, 1) }),
  });
});

describe('peak memory of 20 layers, in activations', () => {
  // 20 activations, and one gradient at a time; tfjs's own keeps all 20 gradients and the seed.
  it('is 21 for valueAndGrads, 41 for tf.variableGrads', () => {
    const w = tf.variable(tf.zeros([size]));
    const loss = (): tf.Scalar => tf.sum(chain(w, 20));
    expect(peakOf(() => tf.variableGrads(loss, [w]))).toBe(41);
    expect(peakOf(() => valueAndGrads(() => ({ loss: loss() }), { w }))).toBe(21);
  });

  it('is 9 with a checkpoint every five layers', () => {
    const w = tf.zeros([size]);
    const loss = (): tf.Scalar => {
      let y: tf.Tensor = w;
      for (let i = 0; i < 4; i++) y = checkpoint((x) => chain(x, 5), [y]);
      return tf.sum(y);
    };
    // At the fourth stretch: the inputs of three (that of the first is w), its five activations, one gradient.
    expect(peakOf(() => valueAndGrads(() => ({ loss: loss() }), { w }))).toBe(9);
  });
});

describe('the gradient of an output that the loss does not use', () => {
  beforeAll(() => {
    const kernelFunc: tf.KernelFunc = () =>
      [[3], [size]].map((shape) => ({
        dataId: backend.write(new Float32Array(), shape),
        shape,
        dtype: 'float32',
      }));
    tf.registerKernel({ kernelName: 'TestTwoOutputs', backendName: 'counting', kernelFunc });
  });

  function shapesFilled(gradFunc: tf.GradFunc): number[][] {
    tf.registerGradient({ kernelName: 'TestTwoOutputs', gradFunc });
    const w = tf.zeros([3]);
    filledShapes.length = 0;
    const forward = (): tf.Tensor[] => tf.engine().runKernel('TestTwoOutputs', { x: w });
    peakOf(() => valueAndGrads(() => ({ loss: tf.sum(forward()[0]!) }), { w }));
    tf.unregisterGradient('TestTwoOutputs');
    w.dispose();
    return [...filledShapes];
  }

  it('is not made when nothing reads it', () => {
    const shapes = shapesFilled((dys) => ({ x: () => layer((dys as tf.Tensor[])[0]!) }));
    // The seed, and the gradient of Sum.
    expect(shapes).toEqual([[], [3]]);
  });

  it('is made once when it is read, and freed', () => {
    const identity = (x: tf.Tensor): tf.Tensor => tf.engine().runKernel('Identity', { x });
    const shapes = shapesFilled((dys) => {
      const [dy, dAuxiliary] = dys as [tf.Tensor, tf.Tensor];
      identity(dAuxiliary);
      return { x: () => (identity(dAuxiliary), layer(dy)) };
    });
    expect(shapes).toEqual([[], [3], [size]]);
  });
});
