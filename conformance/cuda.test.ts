// SPDX-License-Identifier: Apache-2.0
import { describeParity } from './native-parity.ts';
import { emulatedDevice } from './targets.ts';

describeParity(emulatedDevice());
