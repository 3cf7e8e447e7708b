// SPDX-License-Identifier: Apache-2.0
import { expectClose, finiteDifference } from '@diffmavil/testkit';
import * as tf from '@tensorflow/tfjs-core';
import { beforeEach, describe, expect, it } from 'vitest';
import { einsum } from '../gradients/einsum.ts';
import { delegatedKernels, resetDelegatedKernels } from '../delegate.ts';
import { expectSameAsCpu, noAddon, skipNote, useNative } from '../test-native.ts';
import { draw } from '../test-ops.ts';

/** Lengths of the indices of all equations here. */
const lengths: Readonly<Record<string, number>> = { a: 2, b: 3, c: 4, d: 5, h: 2, q: 6, k: 7 };

function operands(equation: string): number[][] {
  const [terms = ''] = equation.split('->');
  return terms.split(',').map((labels) => labels.split('').map((label) => lengths[label]!));
}

const one = ['->', 'a->a', 'a->', 'ab->ba', 'ab->b', 'abc->', 'abcd->dbca', 'abcd->ca'];
const two = [
  ',->',
  'a,->a',
  ',ab->ba',
  'a,a->',
  'a,a->a',
  'a,b->ab',
  'a,b->ba',
  'ab,bc->ac',
  'ab,bc->ca',
  'ba,bc->ac',
  'ab,cb->ac',
  'ab,ab->',
  'abc,abc->ab',
  'abc,acd->abd',
  'abc,cad->dab',
  'abcd,bacd->ad',
  'bqhd,bkhd->bhqk',
  'bhqk,bkhd->bqhd',
  'abc,cd->abd',
  'abcd,cdb->ab',
  'abc,bcd->da',
];
/** Where tfjs's kernel loses an operand or an axis, or throws. */
const lost = ['a,b->b', 'a,b->a', 'a,b->', 'abc,cd->ad', 'ab,c->', 'abc,b->b', ',ab->a'];

describe.skipIf(noAddon)(`einsum${skipNote}`, () => {
  beforeEach(useNative);

  it.each([...one, ...two])('%s has the value of tfjs', async (equation) => {
    const shapes = operands(equation);
    await expectSameAsCpu(() => einsum(equation, ...shapes.map((s, i) => draw(s, i))), {
      nmse: 1e-10,
      maxAbs: 1e-5,
    });
  });

  it.each(['ab,bc->ac', 'abc,abc->ab', 'ab->b', 'a,b->ab'])('%s takes int32', async (equation) => {
    const make = (shape: number[], i: number): tf.Tensor =>
      tf.cast(tf.mul(draw(shape, i), 20), 'int32');
    await expectSameAsCpu(() => einsum(equation, ...operands(equation).map(make)));
  });

  it.each([...one, ...two, ...lost])(
    '%s has the value and the gradients of plain ops',
    (equation) => {
      const x = operands(equation).map((shape, i) => draw(shape, i));
      const f = (...y: tf.Tensor[]): tf.Tensor => einsum(equation, ...y);
      const dy = tf.tidy(() => draw(plain(equation, x).shape, 'dy'));
      resetDelegatedKernels();
      const [value, got] = [f(...x), tf.grads(f)(x, dy)];
      expect(delegatedKernels()).toEqual({});
      const right = tf.tidy(() => plain(equation, x));
      const expected = tf.grads((...y: tf.Tensor[]) => plain(equation, y))(x, dy);
      const finite = finiteDifference(f, x, { dy: dy.dataSync() });
      expectClose(value, right, { maxAbs: 1e-5 });
      for (const [i, gradient] of got.entries()) {
        expect(gradient.shape).toEqual(x[i]!.shape);
        expectClose(gradient, expected[i]!, { maxAbs: 1e-5 });
        expectClose(gradient, finite[i]!, { maxAbs: 2e-4 });
      }
      tf.dispose([x, dy, value, got, right, expected]);
    },
  );

  it('has gradients for tensors of no elements', async () => {
    for (const backend of ['diffmavil-cpu', 'cpu']) {
      await tf.setBackend(backend);
      const shapes = tf.tidy(() =>
        tf
          .grads((a, b) => tf.add(einsum('ab->b', a), einsum('bc,c->b', b, tf.zeros([0]))))([
            tf.zeros([0, 3]),
            tf.zeros([3, 0]),
          ])
          .map(({ shape }) => shape),
      );
      expect(shapes).toEqual([[0, 3], [3, 0]]); // prettier-ignore
    }
  });

  it('is a matrix product, to its gradients', () => {
    const x = [draw([2, 17, 40], 'a'), draw([2, 40, 33], 'b')];
    const [got, expected] = [
      tf.grads((a, b) => einsum('bij,bjk->bik', a, b))(x),
      tf.grads((a, b) => tf.matMul(a, b))(x),
    ];
    for (const [i, gradient] of got.entries()) {
      expectClose(gradient, expected[i]!, { nmse: 1e-10, maxAbs: 1e-5 });
    }
    tf.dispose([x, got, expected]);
  });

  it('has the gradients of tfjs’s cpu backend, which the registered gradient serves too', async () => {
    const gradients = (): number[][] =>
      tf.tidy(() =>
        tf
          .grads((a, b) => einsum('abc,cad->db', a, b))([draw([2, 3, 4], 0), draw([4, 2, 5], 1)])
          .map((gradient) => [...gradient.dataSync()]),
      );
    const got = gradients();
    await tf.setBackend('cpu');
    for (const [i, expected] of gradients().entries()) {
      expectClose(got[i]!, expected, { maxAbs: 1e-5 });
    }
  });

  it('has gradients of gradients', () => {
    const x = [draw([3, 4], 0), draw([4, 2], 1)];
    const f = (a: tf.Tensor, b: tf.Tensor): tf.Tensor =>
      tf.sum(tf.square(tf.grad((y) => tf.sum(tf.square(einsum('ij,jk->ik', y, b))))(a)));
    const got = tf.tidy(() => tf.grads(f)(x));
    const expected = finiteDifference(f, x);
    for (const [i, gradient] of got.entries()) expectClose(gradient, expected[i]!, { nmse: 1e-5 });
    tf.dispose([x, got]);
  });

  it('refuses what tfjs refuses, in its words', () => {
    expect(() => einsum('ab', tf.ones([2, 2]))).toThrow(
      'Equations without an arrow are not supported.',
    );
    expect(() => einsum('aa->a', tf.ones([2, 2]))).toThrow(
      'Found duplicate axes in input component aa. Support for duplicate axes in input is not implemented yet.',
    );
    expect(() => einsum('ab,bc->ac', tf.ones([2, 2]), tf.ones([3, 2]))).toThrow(
      'Expected dimension 2 at axis 0 of input shaped [3,2], but got dimension 3',
    );
  });

  it('has no gradient where the result names an index twice', () => {
    expect(() => tf.grad((x) => einsum('ab->aa', x))(tf.ones([2, 2]))).toThrow(
      'Einsum: expected a result of distinct indices, got ab->aa',
    );
  });
});

/** By the definition: all products of elements, then the sum over what the result lacks. */
function plain(equation: string, x: readonly tf.Tensor[]): tf.Tensor {
  const [terms = '', output = ''] = equation.split('->');
  const rest = [...new Set(terms.replaceAll(',', '').split(''))].filter(
    (label) => !output.includes(label),
  );
  const order = [...output.split(''), ...rest];
  const spread = terms.split(',').map((labels, i) => {
    const present = order.filter((label) => labels.includes(label));
    const turned = tf.transpose(
      x[i]!,
      present.map((label) => labels.indexOf(label)),
    );
    return tf.reshape(
      turned,
      order.map((label) => (labels.includes(label) ? lengths[label]! : 1)),
    );
  });
  const product = spread.length === 1 ? spread[0]! : tf.mul(spread[0]!, spread[1]!);
  return tf.sum(
    product,
    rest.map((_, i) => output.length + i),
  );
}
