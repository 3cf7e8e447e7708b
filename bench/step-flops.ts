// SPDX-License-Identifier: Apache-2.0
// Floating-point operations of one training step: those of its matrix products, whatever an implementation recomputes.
import {
  countMacs,
  modalities,
  patchValues,
  targetValues,
  tokenCount,
  visibleCount,
} from '@diffmavil/model';
import type { ModelConfig } from '@diffmavil/model';

/**
 * Forward once and backward twice the products of `countMacs`, exact accounting; but patches are data, so their embeddings have no gradient
 * for the input.
 */
export function stepFlops(config: ModelConfig, batch: number, maskRatio: number): number {
  const { total } = countMacs(config, maskRatio, { accounting: 'exact' });
  const views = config.loss.intraWeight > 0 ? 2 : 1;
  let embedding = 0;
  for (const modality of modalities(config)) {
    const tokens = tokenCount(config, modality);
    const visible = visibleCount(tokens, maskRatio);
    embedding += views * visible * patchValues(config, modality) * config.encoder.width;
    if (config.masked.kind === 'diffused') {
      embedding += (tokens - visible) * targetValues(config, modality) * config.decoder.width;
    }
  }
  return 2 * batch * (3 * total - embedding);
}
