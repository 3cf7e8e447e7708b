// SPDX-License-Identifier: Apache-2.0
import { emulatedDevice } from '../targets.ts';
import { describeSpecs } from './spec-suite.ts';

describeSpecs(emulatedDevice());
