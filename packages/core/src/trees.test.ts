// SPDX-License-Identifier: Apache-2.0
import { devices, expectNoLeak } from '@diffmavil/testkit';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { disposeTree, mapTensors, tensorsIn } from './trees.ts';

beforeAll(devices[0]!.use);

describe('disposeTree', () => {
  it('disposes tensors in records, arrays and Maps, and passes over the rest', () => {
    expectNoLeak(() => {
      const shared = tf.scalar(1);
      const gone = tf.scalar(2);
      gone.dispose();
      const tree = {
        weights: { a: shared, b: [tf.scalar(3), null, undefined, 'text', 5] },
        moments: new Map([['a', { m: tf.scalar(4) }]]),
        data: new Float32Array(3),
        again: [shared, gone],
        variable: tf.variable(shared),
      };
      expect(tensorsIn(tree).length).toBe(5);
      disposeTree(tree);
      disposeTree(tree);
      disposeTree(undefined);
    });
  });
});

describe('mapTensors', () => {
  it('puts another tensor in the place of each, and takes over the rest', () => {
    expectNoLeak(() => {
      const data = new Float32Array(3);
      const tree = { a: tf.scalar(1), list: [tf.scalar(2), 'text'], none: null, data };
      const doubled = mapTensors(tree, (x) => tf.mul(x, 2));
      expect(tensorsIn(doubled).map((x) => x.dataSync()[0])).toEqual([2, 4]);
      expect(Object.keys(doubled)).toEqual(['a', 'list', 'none', 'data']);
      expect([doubled.list[1], doubled.none, doubled.data]).toEqual(['text', null, data]);
      expect(doubled.data).toBe(data);
      disposeTree([tree, doubled]);
    });
  });
});
