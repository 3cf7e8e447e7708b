// SPDX-License-Identifier: Apache-2.0
// The tensors of somebody else's file while they are being mapped: what was read, what is missing, what is left over.
import { CheckpointError, formatShape } from '@diffmavil/core';

import type { SafeTensor } from '../safetensors.ts';
import type { Values } from './arrays.ts';

/** Weights of another project, and what lies beside them. */
export interface ForeignFile {
  /** Names the file in errors. */
  readonly source: string;
  readonly tensors: Readonly<Record<string, SafeTensor>>;
  /** The source's config.json: sizes that weights do not show, and class names. */
  readonly config?: Readonly<Record<string, unknown>>;
  /** The source's preprocessor_config.json: means and deviations. */
  readonly preprocessor?: Readonly<Record<string, unknown>>;
}

/** What wrappers and training programs put before every name. */
const wrappers = ['module.', 'model.', '_orig_mod.'];

export class ForeignWeights {
  readonly source: string;
  readonly config: Readonly<Record<string, unknown>>;
  readonly preprocessor: Readonly<Record<string, unknown>>;
  readonly #tensors: ReadonlyMap<string, SafeTensor>;
  readonly #read = new Set<string>();
  readonly #ignored = new Set<string>();
  #format = 'model';

  constructor({ source, tensors, config = {}, preprocessor = {} }: ForeignFile) {
    this.source = source;
    this.config = config;
    this.preprocessor = preprocessor;
    this.#tensors = new Map(Object.entries(unwrapped(tensors)));
  }

  /** What the file was found to be, for errors. */
  recognizedAs(format: string): void {
    this.#format = format;
  }

  get names(): string[] {
    return [...this.#tensors.keys()];
  }

  has(name: string): boolean {
    return this.#tensors.has(name);
  }

  /** The shape of a tensor; [] when there is none of that name. */
  shapeOf(name: string): readonly number[] {
    return this.#tensors.get(name)?.shape ?? [];
  }

  /** A tensor that must be there, of that many axes. */
  take(name: string, axes: number): Values {
    const found = this.optional(name, axes);
    if (found === null) this.fail(name);
    return found;
  }

  /** A tensor, or null when there is none of that name. */
  optional(name: string, axes: number): Values | null {
    const tensor = this.#tensors.get(name);
    if (tensor === undefined) return null;
    if (tensor.dtype !== 'F32' || tensor.shape.length !== axes) {
      this.fail(
        `${name} as floats on ${axes} axes`,
        `${tensor.dtype} ${formatShape(tensor.shape)}`,
      );
    }
    this.#read.add(name);
    return { shape: tensor.shape, data: tensor.data };
  }

  /** The first of several names that the file has; the first name when it has none. */
  nameOf(candidates: readonly string[]): string {
    return candidates.find((name) => this.has(name)) ?? candidates[0] ?? '';
  }

  /** How many numbered parts there are: 12 for `blocks.0.…` to `blocks.11.…`. */
  count(prefix: string): number {
    const numbers = this.names
      .filter((name) => name.startsWith(`${prefix}.`))
      .map((name) => Number(name.slice(prefix.length + 1).split('.')[0]));
    return Math.max(-1, ...numbers.filter((n) => Number.isInteger(n))) + 1;
  }

  /** Tensors that are rightly left out: names, or beginnings that end in a dot. */
  ignore(...patterns: string[]): void {
    for (const name of this.names) {
      const meant = patterns.some((p) => (p.endsWith('.') ? name.startsWith(p) : name === p));
      if (meant && !this.#read.has(name)) this.#ignored.add(name);
    }
  }

  /** Refuses tensors that were neither read nor left out: the model would compute something else without them. */
  finish(): { mapped: number; ignored: string[] } {
    const left = this.names.filter((name) => !this.#read.has(name) && !this.#ignored.has(name));
    if (left.length > 0) {
      this.fail('no weights but those it knows', `also ${listed(left)}`);
    }
    return { mapped: this.#read.size, ignored: [...this.#ignored] };
  }

  /** Throws one CheckpointError sentence. Without `got`, a few names of what is there. */
  fail(expected: string, got?: string): never {
    const found = got ?? `${this.#tensors.size} tensors such as ${listed(this.names)}`;
    throw new CheckpointError(
      `weights: expected ${expected} in ${this.source}, taken for ${this.#format}, got ${found}`,
    );
  }
}

/** `names` joined, a few of them. */
export function listed(names: readonly string[]): string {
  const shown = names.slice(0, 4).join(', ');
  return names.length > 4 ? `${shown} and ${names.length - 4} more` : shown || 'none';
}

/** Without the prefixes that all names share because of a wrapper. */
function unwrapped(tensors: Readonly<Record<string, SafeTensor>>): Record<string, SafeTensor> {
  let entries = Object.entries(tensors);
  for (let again = true; again && entries.length > 0;) {
    const prefix = wrappers.find((start) => entries.every(([name]) => name.startsWith(start)));
    again = prefix !== undefined;
    if (prefix === undefined) break;
    entries = entries.map(([name, tensor]) => [name.slice(prefix.length), tensor]);
  }
  return Object.fromEntries(entries);
}
