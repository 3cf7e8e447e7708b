// SPDX-License-Identifier: Apache-2.0
import { describe, expect, expectTypeOf, it } from 'vitest';
import { ShapeError } from './errors.ts';
import { formatShape, shapeOf } from './shapes.ts';

describe('shapeOf', () => {
  it('returns the size of each name', () => {
    const sizes = shapeOf({ shape: [2, 3, 4] }, '[batch, tokens, width]', 'x');
    expect(sizes).toEqual({ batch: 2, tokens: 3, width: 4 });
    expectTypeOf(sizes).toEqualTypeOf<Record<'batch' | 'tokens' | 'width', number>>();
  });

  it('takes literal sizes, multiples of names and a scalar', () => {
    const sizes = shapeOf({ shape: [12, 4, 2] }, '[3*width, width, 2]', 'qkv');
    expect(sizes).toEqual({ width: 4 });
    expectTypeOf(sizes).toEqualTypeOf<Record<'width', number>>();
    expect(shapeOf({ shape: [] }, '[]', 'loss')).toEqual({});
    expect(shapeOf({ shape: [0, 4] }, '[rows, 4]', 'empty')).toEqual({ rows: 0 });
  });

  it('lets leading dimensions be any with ...', () => {
    for (const shape of [[4], [2, 4], [7, 2, 4]]) {
      expect(shapeOf({ shape }, '[..., width]', 'x', { width: 4 })).toEqual({ width: 4 });
    }
    expect(shapeOf({ shape: [7, 2, 4] }, '[..., tokens, width]', 'x')).toEqual({
      tokens: 2,
      width: 4,
    });
  });

  it.each([
    [[2, 3], '[batch, tokens, width]', {}, '[batch, tokens, width], got [2, 3]'],
    [
      [2, 3, 5],
      '[batch, tokens, width]',
      { width: 4 },
      '[batch, tokens, width = 4], got [2, 3, 5]',
    ],
    [[2, 3], '[tokens, tokens]', {}, '[tokens, tokens = 2], got [2, 3]'],
    [[2, 3], '[rows, 4]', {}, '[rows, 4], got [2, 3]'],
    [[9, 4], '[3*width, width]', {}, '[3*width, width = 3], got [9, 4]'],
    [[8, 4], '[3*width, width]', {}, '[3*width, width], got [8, 4]'],
    [[8, 4], '[3*width, width]', { width: 4 }, '[3*width = 12, width = 4], got [8, 4]'],
    [[], '[..., width]', {}, '[..., width], got []'],
  ] as [number[], string, Record<string, number>, string][])(
    'refuses %j for %s with %j known',
    (shape, spec, known, rest) => {
      expect(() => shapeOf({ shape }, spec, 'linear: x', known)).toThrow(
        new ShapeError(`linear: x: expected ${rest}`),
      );
    },
  );

  it.each(['batch', '[batch,tokens]', '[batch, -1]', '[1.5]'])('refuses the spec %s', (spec) => {
    expect(() => shapeOf({ shape: [1] }, spec, 'x')).toThrow(/^shapeOf: expected .*, got /);
  });
});

describe('formatShape', () => {
  it('writes a shape as messages do', () => {
    expect([formatShape([]), formatShape([2, 3])]).toEqual(['[]', '[2, 3]']);
  });
});
