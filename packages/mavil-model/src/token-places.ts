// SPDX-License-Identifier: Apache-2.0
// Where a token is and what it is of: positions and modality token, added to tokens of an encoder or decoder.
import { gatherTokens } from '@diffmavil/core';
import * as tf from '@tensorflow/tfjs-core';

import { weightOf } from './blocks.ts';
import { tokenCount } from './config.ts';
import type { Modality, ModelConfig } from './config.ts';
import type { Parameters } from './parameters.ts';
import { positionTable } from './positions.ts';

/**
 * Tokens of one modality -> tokens that know their place. x [batch, count, width] holds the tokens `order`
 * int32 [batch, count]; all of them in grid order when it is null. The result has the shape of x.
 */
export function placeTokens(
  config: ModelConfig,
  parameters: Parameters,
  module: `${Modality}_${'encoder' | 'decoder'}`,
  x: tf.Tensor3D,
  order: tf.Tensor | null,
): tf.Tensor3D {
  const [modality, part] = module.split('_') as [Modality, 'encoder' | 'decoder'];
  const { positions, modalityToken, width } = config[part];
  return tf.tidy(() => {
    const tokens = tokenCount(config, modality);
    const table: tf.Tensor =
      positions === 'learned'
        ? weightOf(parameters, `${module}.positions`)
        : tf.tensor3d(positionTable(config, modality, width), [1, tokens, width]);
    const placed = tf.add<tf.Tensor3D>(x, order === null ? table : rowsOf(table, order));
    if (!modalityToken) return placed;
    return tf.add<tf.Tensor3D>(placed, weightOf(parameters, `${module}.modality_token`));
  });
}

/** Rows of a table [1, tokens, width] for every clip: order int32 [batch, count] -> [batch, count, width]. */
function rowsOf(table: tf.Tensor, order: tf.Tensor): tf.Tensor {
  const [batch = 0, count = 0] = order.shape;
  // One gather for the whole batch: the table is shared, so the batch is laid along the tokens.
  const gathered = gatherTokens(table, tf.reshape(order, [1, batch * count]));
  return tf.reshape(gathered, [batch, count, table.shape[2] ?? 0]);
}
