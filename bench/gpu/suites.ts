// SPDX-License-Identifier: Apache-2.0
// The suites by name.
import { compare } from './compare.ts';
import { parity } from './parity.ts';
import { repeat } from './repeat.ts';
import type { Suite, SuiteName } from './rows.ts';
import { specs } from './specs.ts';
import { training } from './training.ts';

export const suites: Readonly<Record<SuiteName, Suite>> = {
  specs,
  parity,
  repeat,
  training,
  compare,
};
