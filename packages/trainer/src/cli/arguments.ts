// SPDX-License-Identifier: Apache-2.0
// Command-line arguments on node:util's parser: unknown options come back with the nearest known one, values are checked as read.
import { parseArgs } from 'node:util';
import { closestName } from '../closest-name.ts';
import { UsageError } from './command.ts';

/** `'string'`: takes a value; `'strings'`: may be repeated; `'boolean'`: takes none. */
export type OptionKinds = Readonly<Record<string, 'string' | 'strings' | 'boolean'>>;

type OptionValue<K> = K extends 'string'
  ? string | undefined
  : K extends 'strings'
    ? string[]
    : boolean;

export interface ParsedArguments<O extends OptionKinds> {
  readonly options: { readonly [name in keyof O]: OptionValue<O[name]> };
  readonly positionals: readonly string[];
}

/** @throws UsageError naming the argument that is wrong. */
export function parseArguments<const O extends OptionKinds>(
  args: readonly string[],
  kinds: O,
): ParsedArguments<O> {
  const options = Object.fromEntries(
    Object.entries(kinds).map(([name, kind]) => [
      name,
      kind === 'boolean'
        ? ({ type: 'boolean' } as const)
        : ({ type: 'string', multiple: kind === 'strings' } as const),
    ]),
  );
  for (const arg of args) {
    const name = /^--([^=]+)/.exec(arg)?.[1];
    if (name === undefined || name in kinds) continue;
    const near = closestName(name, Object.keys(kinds));
    throw new UsageError(`unknown option --${name}${near === null ? '' : `. Try: --${near}`}`);
  }
  try {
    const { values, positionals } = parseArgs({ args: [...args], options, allowPositionals: true });
    const filled = Object.entries(kinds).map(([name, kind]) => [
      name,
      values[name] ?? (kind === 'strings' ? [] : kind === 'boolean' ? false : undefined),
    ]);
    return { options: Object.fromEntries(filled) as ParsedArguments<O>['options'], positionals };
  } catch (error) {
    throw new UsageError((error as Error).message.split('. ')[0]);
  }
}

/** The value of an option that must be given. */
export function required(value: string | undefined, option: string): string {
  if (value === undefined || value === '') throw new UsageError(`expected --${option}, got none`);
  return value;
}

/** An option that is a number in a range; `fallback` when it is not given. */
export function numberOption(
  value: string | undefined,
  option: string,
  fallback: number,
  {
    min = -Infinity,
    max = Infinity,
    integer = false,
  }: { min?: number; max?: number; integer?: boolean } = {},
): number {
  if (value === undefined) return fallback;
  const number = Number(value);
  if (
    !(number >= min && number <= max) ||
    value.trim() === '' ||
    (integer && !Number.isInteger(number))
  ) {
    throw new UsageError(
      `expected --${option} to be ${integer ? 'a whole number' : 'a number'} ${min}..${max}, got '${value}'`,
    );
  }
  return number;
}

/** One of the named values. */
export function choiceOption<const C extends string>(
  value: string | undefined,
  option: string,
  choices: readonly C[],
  fallback: C,
): C {
  if (value === undefined) return fallback;
  const found = choices.find((choice) => choice === value);
  if (found === undefined)
    throw new UsageError(`expected --${option} to be ${choices.join(' or ')}, got '${value}'`);
  return found;
}
