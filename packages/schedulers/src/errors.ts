// SPDX-License-Identifier: Apache-2.0
// The package's one error class and the argument checks that throw it. A range is written once, as text:
// the same string is checked and shown, so a message cannot disagree with the check.

/**
 * A schedule or an argument outside its documented range. The message is one sentence,
 * `<where>: expected <what>, got <value>`; `kind` lets a caller sort it with the other diffmavil errors.
 */
export class ScheduleError extends Error {
  override readonly name = 'ScheduleError';
  readonly kind: 'Config' = 'Config' as const;
}

/** Builds the sentence `<where>: expected <what>, got <value>`. */
export function unexpected(where: string, what: string, value: unknown): ScheduleError {
  return new ScheduleError(`${where}: expected ${what}, got ${show(value)}`);
}

/**
 * Throws unless `value` is a finite number in `range`: `[0, 1)`, `(0, 1]`, `>= 1` or `> 0`.
 */
export function checkNumber(where: string, name: string, value: unknown, range: string): void {
  if (typeof value !== 'number' || !Number.isFinite(value) || !contains(range, value)) {
    throw unexpected(where, `${name} ${asWords(range)}`, value);
  }
}

/** As `checkNumber`, for whole numbers. */
export function checkInteger(where: string, name: string, value: unknown, range: string): void {
  if (!Number.isSafeInteger(value) || !contains(range, value as number)) {
    throw unexpected(where, `${name} to be a whole number ${asWords(range)}`, value);
  }
}

function asWords(range: string): string {
  return range.startsWith('>') ? range : `in ${range}`;
}

function contains(range: string, value: number): boolean {
  const parts = /^(?:(>=?) (\S+)|([[(])(\S+), (\S+)([\])]))$/.exec(range);
  if (parts === null) throw new TypeError(`not a range: ${range}`);
  const [, order, bound, left, low, high, right] = parts;
  if (order !== undefined) return order === '>' ? value > Number(bound) : value >= Number(bound);
  const above = left === '(' ? value > Number(low) : value >= Number(low);
  return above && (right === ')' ? value < Number(high) : value <= Number(high));
}

function show(value: unknown): string {
  if (typeof value === 'string' || Array.isArray(value)) return JSON.stringify(value);
  return typeof value === 'object' && value !== null ? 'an object' : String(value);
}
