// SPDX-License-Identifier: Apache-2.0
import { backendName, findAddon, registerNative } from '@diffmavil/native';
import { describeSpecs } from './spec-suite.ts';

const noAddon = findAddon().addon === null;

describeSpecs({
  name: backendName,
  register: registerNative,
  missing: noAddon ? 'the native addon is not built' : null,
});
