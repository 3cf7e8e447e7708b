// SPDX-License-Identifier: Apache-2.0
// The loss that benches train on: a pre-training pass, of which a training run keeps the losses.
import type { Precision } from '@diffmavil/core';
import { pretrainForward } from '@diffmavil/model';
import type { ModalityInput, ModelConfig, PerModality } from '@diffmavil/model';
import type { LossOutputs, PreparedBatch, TrainState } from '@diffmavil/trainer';

export type Batch = PerModality<ModalityInput>;

/** A function of weights and a batch. */
export function pretrainLoss(
  config: ModelConfig,
  maskRatio: number,
  precision: Precision = 'float32',
): (parameters: TrainState['parameters'], batch: Batch) => LossOutputs {
  return (parameters, batch) => {
    const outputs = pretrainForward(config, parameters, batch, maskRatio, { precision });
    const scalars = Object.entries(outputs).filter(([, tensor]) => tensor.size === 1);
    return Object.fromEntries(scalars) as LossOutputs;
  };
}

/** Batches of one shape and mask ratio, whose steps may share a graph. */
export function prepared(tensors: Batch, loss: PreparedBatch<Batch>['loss']): PreparedBatch<Batch> {
  return { tensors, loss, key: 'one mask ratio' };
}
