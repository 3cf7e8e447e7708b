// SPDX-License-Identifier: Apache-2.0
import { expect, it } from 'vitest';
import { closestName } from './closest-name.ts';

it('finds the name that was meant', () => {
  expect(closestName('learningrate', ['learningRate', 'weightDecay'])).toBe('learningRate');
  expect(closestName('pretrian', ['pretrain', 'report'])).toBe('pretrain');
});

it('does not guess when nothing is near', () => {
  expect(closestName('banana', ['learningRate', 'weightDecay'])).toBeNull();
  expect(closestName('x', [])).toBeNull();
});
