// SPDX-License-Identifier: Apache-2.0
import { processor } from './targets.ts';
import { describeParity } from './native-parity.ts';

describeParity(processor);
