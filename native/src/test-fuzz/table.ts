// SPDX-License-Identifier: Apache-2.0
// The cases of every native kernel, by its name. A kernel without an entry fails fuzz.test.ts.
import { branchCases } from './branches.ts';
import type { Draw } from './case.ts';
import { convCases } from './convolutions.ts';
import { elementwise } from './elementwise.ts';
import { imageCases } from './images.ts';
import { indexCases } from './indices.ts';
import { opCases } from './ops.ts';
import { productCases } from './products.ts';
import { reductionCases } from './reductions.ts';
import { shapeCases } from './shapes.ts';

export const fuzzTable: Readonly<Record<string, Draw>> = {
  ...branchCases,
  ...convCases,
  ...elementwise,
  ...imageCases,
  ...indexCases,
  ...opCases,
  ...productCases,
  ...reductionCases,
  ...shapeCases,
};
