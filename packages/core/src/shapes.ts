// SPDX-License-Identifier: Apache-2.0
// One string both documents a shape and checks it: `shapeOf(x, '[batch, tokens, width]', 'linear: x', { width })`.
// A dimension is a name, an integer (that very size), or an integer times a name (`3*width`); a leading `...` stands for any
// number of dimensions. A name that is known, or that came up before in the same spec, must have the same size again.
import { ShapeError } from './errors.ts';

type DimensionName<D extends string> = D extends '...' | `${number}`
  ? never
  : D extends `${number}*${infer Name}`
    ? Name
    : D;
type NamesIn<List extends string> = List extends `${infer First}, ${infer Rest}`
  ? DimensionName<First> | NamesIn<Rest>
  : DimensionName<List>;

/** The names in a shape spec: `'batch' | 'width'` for `'[batch, 3, 2*width]'`. */
export type ShapeNames<Spec extends string> = string extends Spec
  ? string
  : Spec extends `[${infer List}]`
    ? NamesIn<List>
    : never;

interface Dimension {
  readonly text: string;
  /** null: a literal size. */
  readonly name: string | null;
  /** The literal size, or the factor before the name. */
  readonly factor: number;
}

interface ParsedSpec {
  readonly openStart: boolean;
  readonly dimensions: readonly Dimension[];
}

const parsedSpecs = new Map<string, ParsedSpec>();

/**
 * Checks `x.shape` against `spec` and returns the size of each name in it.
 *
 * @param where what is checked, the start of the message: `'attention: query'`.
 * @param known sizes that names must have.
 * @throws ShapeError `<where>: expected [batch, width = 4], got [2, 5]`.
 */
export function shapeOf<const Spec extends string>(
  x: { readonly shape: readonly number[] },
  spec: Spec,
  where: string,
  known: Readonly<Record<string, number>> = {},
): Record<ShapeNames<Spec>, number> {
  const { openStart, dimensions } = parse(spec);
  const { shape } = x;
  const skipped = shape.length - dimensions.length;
  if (openStart ? skipped < 0 : skipped !== 0) fail(spec, where, known, shape);
  const sizes: Record<string, number> = {};
  for (const [i, { name, factor }] of dimensions.entries()) {
    const size = shape[skipped + i] ?? Number.NaN;
    if (name === null) {
      if (size !== factor) fail(spec, where, known, shape);
      continue;
    }
    const expected = sizes[name] ?? known[name] ?? size / factor;
    if (!Number.isInteger(expected) || size !== expected * factor) fail(spec, where, known, shape);
    sizes[name] = expected;
  }
  return sizes;
}

/** `[2, 3]`, as messages write a shape. */
export function formatShape(shape: readonly number[]): string {
  return `[${shape.join(', ')}]`;
}

function parse(spec: string): ParsedSpec {
  const cached = parsedSpecs.get(spec);
  if (cached !== undefined) return cached;
  const list = /^\[(.*)\]$/.exec(spec)?.[1];
  if (list === undefined) throw new ShapeError(`shapeOf: expected a spec in brackets, got ${spec}`);
  const texts = list === '' ? [] : list.split(', ');
  const openStart = texts[0] === '...';
  const dimensions = (openStart ? texts.slice(1) : texts).map((text) => {
    const [, factor, name] = /^(?:(\d+)(?:\*(?=\D)|$))?([A-Za-z]\w*)?$/.exec(text) ?? [];
    if (factor === undefined && name === undefined) {
      throw new ShapeError(`shapeOf: expected names or integers in the spec, got ${spec}`);
    }
    return { text, name: name ?? null, factor: Number(factor ?? 1) };
  });
  const parsed = { openStart, dimensions };
  parsedSpecs.set(spec, parsed);
  return parsed;
}

function fail(
  spec: string,
  where: string,
  known: Readonly<Record<string, number>>,
  shape: readonly number[],
): never {
  const { openStart, dimensions } = parse(spec);
  const seen: Record<string, number> = { ...known };
  const skipped = shape.length - dimensions.length;
  const texts = dimensions.map(({ text, name, factor }, i) => {
    if (name === null) return text;
    const size = seen[name];
    if (size !== undefined) return `${text} = ${size * factor}`;
    const own = shape[skipped + i];
    if (own !== undefined && skipped >= 0 && own % factor === 0) seen[name] = own / factor;
    return text;
  });
  const expected = `[${[...(openStart ? ['...'] : []), ...texts].join(', ')}]`;
  throw new ShapeError(`${where}: expected ${expected}, got ${formatShape(shape)}`);
}
