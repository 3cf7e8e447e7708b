// SPDX-License-Identifier: Apache-2.0
// Values and gradients: twins.test.ts, golden.test.ts. Here: the noise by keys, none masked,
// errors.
import * as tf from '@tensorflow/tfjs-core';
import { devices } from '@diffmavil/testkit';
import { beforeAll, describe, expect, it } from 'vitest';
import '../register-gradients.ts';
import { fold, keysTensorData, makeKey, normals } from '../random.ts';
import { diffuse } from './diffuse.ts';

describe.each(devices)('diffuse on $name', (device) => {
  beforeAll(device.use);

  it('draws the noise of each sample from its key, element by element in order', () => {
    tf.tidy(() => {
      const keys = [fold(makeKey(1), 'a'), fold(makeKey(1), 'b')];
      const words = tf.tensor2d(keysTensorData(keys), [2, 4], 'int32');
      const indices = tf.tensor2d([[1, 0], [2, 1]], [2, 2], 'int32'); // oxfmt-ignore
      const [signal, noiseScale] = [tf.zeros([2]), tf.ones([2])];
      const noise = diffuse(tf.ones([2, 3, 5]), indices, signal, noiseScale, { keys: words });
      expect(noise.dataSync()).toEqual(
        Float32Array.from(keys.flatMap((key) => [...normals(key, 10)])),
      );
    });
  });

  it('takes no patches: nothing is masked', () => {
    tf.tidy(() => {
      const [indices, one] = [tf.tensor2d([], [1, 0], 'int32'), tf.ones([1])];
      const noise = { keys: tf.zeros([1, 4], 'int32') };
      expect(diffuse(tf.ones([1, 3, 5]), indices, one, one, noise).shape).toEqual([1, 0, 5]);
    });
  });

  it('names what is wrong', () => {
    tf.tidy(() => {
      const patches = tf.ones([2, 3, 5]);
      const indices = tf.zeros([2, 1], 'int32');
      const [one, two] = [tf.ones([1]), tf.ones([2])];
      const noise = { values: tf.ones([2, 1, 5]) };
      expect(() => diffuse(two, indices, two, two, noise)).toThrow(
        'diffuse: patches: expected [batch, tokens, patchValues], got [2]',
      );
      expect(() => diffuse(patches, tf.zeros([1, 1], 'int32'), two, two, noise)).toThrow(
        'diffuse: indices: expected [batch = 2, masked], got [1, 1]',
      );
      expect(() => diffuse(patches, indices, one, two, noise)).toThrow(
        'diffuse: signal: expected [batch = 2], got [1]',
      );
      expect(() => diffuse(patches, indices, two, one, noise)).toThrow(
        'diffuse: noiseScale: expected [batch = 2], got [1]',
      );
      expect(() => diffuse(patches, indices, two, two, { values: patches })).toThrow(
        'diffuse: noise values: expected [batch = 2, masked = 1, patchValues = 5], got [2, 3, 5]',
      );
      expect(() => diffuse(patches, indices, two, two, { keys: indices })).toThrow(
        'diffuse: noise keys: expected [batch = 2, 4], got [2, 1]',
      );
      expect(() => diffuse(patches, indices, two, two, { keys: tf.ones([2, 4]) })).toThrow(
        'diffuse: noise keys: expected int32, got float32',
      );
    });
  });
});
