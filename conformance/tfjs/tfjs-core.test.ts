// SPDX-License-Identifier: Apache-2.0
import { processor } from '../targets.ts';
import { describeSpecs } from './spec-suite.ts';

describeSpecs(processor);
