// SPDX-License-Identifier: Apache-2.0
// Layer-wise learning-rate decay for fine-tuning: early layers, already good, move less.
import { checkInteger, checkNumber } from './errors.ts';

/**
 * Learning-rate factors by layer, decay^(depth + 1 - i): index 0 the embeddings (patch, position, class token),
 * k + 1 encoder block k, depth + 1 the head and everything else, whose factor is 1 [MAE §A.1; DiffMAViL Table 4: 0.75].
 *
 * @param depth encoder blocks, a whole number >= 0
 * @param decay in (0, 1]; 1 switches the decay off
 * @returns [depth + 2], increasing towards the head
 * @throws ScheduleError when an argument is outside its range
 */
export function layerDecayScales(depth: number, decay: number): Float64Array {
  checkInteger('layerDecayScales', 'depth', depth, '>= 0');
  checkNumber('layerDecayScales', 'decay', decay, '(0, 1]');
  return Float64Array.from({ length: depth + 2 }, (_, i) => decay ** (depth + 1 - i));
}
