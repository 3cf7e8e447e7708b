// SPDX-License-Identifier: Apache-2.0
// Stage 2 of MAViL [MAViL §3.3, Table 4]: a frozen teacher sees complete clips, and its features of each token
// are what a student, drawn anew, predicts for the tokens that are hidden from it.
import { ConfigError, ShapeError, withoutGradients } from '@diffmavil/core';
import * as tf from '@tensorflow/tfjs-core';

import type { ComputeOptions } from './blocks.ts';
import { audioOf, modalities, videoOf } from './config.ts';
import type { Modality, ModelConfig, TargetsConfig } from './config.ts';
import { encode, withoutClassToken } from './encoder.ts';
import { fuse, mapPresent } from './fusion.ts';
import type { PerModality } from './fusion.ts';
import type { Parameters } from './parameters.ts';

/** A model that teaches: its configuration and weights. */
export interface Teacher {
  readonly config: ModelConfig;
  readonly parameters: Parameters;
}

type TeacherTargets = Extract<TargetsConfig, { kind: 'teacher' }>;

/**
 * The teacher's features of every token, without gradients: patches [batch, tokens, patchValues] per modality ->
 * [batch, tokens, teacher width], class tokens left out. Only the result is kept. With `normalize` each token is brought to mean 0 and variance 1 (epsilon 1e-6 in the root).
 * The caller disposes the result.
 */
export function teacherTargets(
  { config, parameters }: Teacher,
  targets: TeacherTargets,
  patches: PerModality<tf.Tensor>,
  options: ComputeOptions = {},
): PerModality<tf.Tensor3D> {
  const make = (): PerModality<tf.Tensor3D> => {
    const encoded = mapPresent(patches, (tensor, modality) =>
      encode(config, parameters, modality, tensor, options),
    );
    const features =
      targets.features === 'fusion' ? fuse(config, parameters, encoded, options) : encoded;
    return mapPresent(features, (tokens) => {
      const own = withoutClassToken(config, tokens);
      return targets.normalize ? standardised(own) : own;
    });
  };
  return withoutGradients(() => tf.tidy(make));
}

/**
 * Throws ConfigError naming the keys when a student cannot learn from a teacher: another modality, other input
 * (both read the same patches), another width.
 */
export function checkTeacher(student: ModelConfig, teacher: ModelConfig): void {
  const { targets } = student;
  if (targets.kind !== 'teacher') {
    throw new ConfigError(
      `teacher: expected a student with targets.kind 'teacher', got '${targets.kind}'`,
    );
  }
  const faults = modalities(student).flatMap((modality) => {
    if (teacher[modality] === null) return [`${modality}: null in the teacher`];
    const [own, its] = [inputOf(student, modality), inputOf(teacher, modality)];
    return Object.entries(own)
      .filter(([key, value]) => its[key] !== value)
      .map(([key, value]) => `${modality}.${key}: ${its[key]} for the student's ${value}`);
  });
  if (teacher.encoder.width !== targets.width) {
    faults.push(`encoder.width: ${teacher.encoder.width} for targets.width ${targets.width}`);
  }
  if (faults.length > 0) {
    throw new ConfigError(`teacher: expected one that fits the student, got ${faults.join('; ')}`);
  }
}

/** What a clip's patches of one modality depend on. */
function inputOf(config: ModelConfig, modality: Modality): Record<string, number> {
  if (modality === 'audio') return { ...audioOf(config) };
  const { predictFrames: _target, ...input } = videoOf(config);
  return input;
}

function standardised(tokens: tf.Tensor3D): tf.Tensor3D {
  const { mean, variance } = tf.moments(tokens, -1, true);
  return tf.mul(tf.sub(tokens, mean), tf.rsqrt(tf.add(variance, 1e-6)));
}

/** The targets a batch brings along. Throws ShapeError or ConfigError naming `where`. */
export function givenTargets(
  targets: TeacherTargets,
  given: tf.Tensor | undefined,
  [batch = 0, tokens = 0]: readonly number[],
  where: string,
): tf.Tensor {
  if (given === undefined) {
    throw new ConfigError(`${where}.targets: expected a teacher's features, got none`);
  }
  const wanted = [batch, tokens, targets.width];
  if (given.shape.join() !== wanted.join()) {
    throw new ShapeError(
      `${where}.targets: expected [${wanted.join(', ')}], got [${given.shape.join(', ')}]`,
    );
  }
  return given;
}
