// SPDX-License-Identifier: Apache-2.0
// The passes of a training step as a graph (captureSteps): a batch goes in, losses, gradients and their norm come out, by name.
import { captureSteps } from '@diffmavil/native';
import type { Modality, ModalityInput } from '@diffmavil/model';
import { stepGradients } from '@diffmavil/trainer';
import type { LossOutputs, StepGradients, TrainState } from '@diffmavil/trainer';
import * as tf from '@tensorflow/tfjs-core';

type Batch = Partial<Record<Modality, ModalityInput>>;
type Parameters = TrainState['parameters'];
type Tensors = Record<string, tf.Tensor>;

export interface CapturedPasses {
  /** As `stepGradients` of the same batch. */
  readonly run: (batch: Batch) => StepGradients;
  /** How often the passes ran plainly, were recorded, were replayed. */
  readonly counts: { readonly plain: number; readonly recorded: number; readonly replayed: number };
  readonly dispose: () => void;
}

/**
 * @param parametersNow The weights of the step that is to run; they are updated in place.
 * @param loss Of weights and a batch.
 */
export function capturedPasses(
  parametersNow: () => Parameters,
  loss: (parameters: Parameters, batch: Batch) => LossOutputs,
): CapturedPasses {
  const captured = captureSteps((inputs: Tensors): Tensors => {
    const batch = unflatten(inputs);
    const { outputs, grads, norm } = stepGradients(parametersNow(), (own) => loss(own, batch));
    return { ...prefixed('output', outputs), ...prefixed('grad', grads), norm };
  });
  return {
    run: (batch) => {
      const timesteps: tf.Tensor[] = [];
      const results = captured(flatten(batch, timesteps));
      tf.dispose(timesteps);
      return {
        outputs: named('output', results) as LossOutputs,
        grads: named('grad', results),
        norm: results['norm'] as tf.Scalar,
      };
    },
    counts: captured.counts,
    dispose: () => captured.dispose(),
  };
}

/** The tensors of a batch; timesteps become some, which are added to `made`. */
function flatten(batch: Batch, made: tf.Tensor[]): Tensors {
  return Object.fromEntries(
    Object.entries(batch).flatMap(([m, { patches, order, timesteps = [], noise }]) => {
      const steps =
        timesteps instanceof tf.Tensor ? timesteps : tf.tensor1d(Array.from(timesteps), 'int32');
      if (steps !== timesteps) made.push(steps);
      const drawn = prefixed('noise', { ...noise });
      return Object.entries(prefixed(m, { patches, order, timesteps: steps, ...drawn }));
    }),
  );
}

function unflatten(inputs: Tensors): Batch {
  const present = new Set(Object.keys(inputs).map((name) => name.split('.')[0]!));
  return Object.fromEntries(
    [...present].map((m) => {
      const own = named(m, inputs);
      const { patches, order, timesteps } = own as Record<
        'patches' | 'order' | 'timesteps',
        tf.Tensor
      >;
      return [m, { patches, order, timesteps, noise: named('noise', own) }];
    }),
  );
}

function prefixed(prefix: string, tensors: Record<string, unknown>): Tensors {
  return Object.fromEntries(
    Object.entries(tensors).map(([name, tensor]) => [`${prefix}.${name}`, tensor as tf.Tensor]),
  );
}

/** Those with that prefix, without it. */
function named(prefix: string, tensors: Tensors): Tensors {
  return Object.fromEntries(
    Object.entries(tensors).flatMap(([name, tensor]) =>
      name.startsWith(`${prefix}.`) ? [[name.slice(prefix.length + 1), tensor]] : [],
    ),
  );
}
