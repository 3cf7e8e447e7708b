// SPDX-License-Identifier: Apache-2.0
// Floating-point operations of one training step: those of its matrix products, whatever an implementation recomputes.
import { trainingCosts } from '@diffmavil/model';
import type { ModelConfig } from '@diffmavil/model';

/** Of the whole batch, forward and backward, exact accounting. */
export function stepFlops(config: ModelConfig, batch: number, maskRatio: number): number {
  const { forward, backward } = trainingCosts(config, maskRatio, {
    batch,
    accounting: 'exact',
  }).flops;
  return forward + backward;
}
