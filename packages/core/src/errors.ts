// SPDX-License-Identifier: Apache-2.0
// The errors a caller can expect. Each has a `kind`, so that a program (the command line, for one) can tell a fault of its
// user from a bug without knowing the classes: it prints the sentence and leaves the stack out.

/** What went wrong, by room: tensor shapes, configs, backends and devices, clips, files of weights. */
export type ErrorKind = 'Shape' | 'Config' | 'Device' | 'Media' | 'Checkpoint';

/** An expected error: one sentence, `<where>: expected <what>, got <value>`, then `Try: …` when a way out is known. */
export class DiffmavilError extends Error {
  override readonly name: string = 'DiffmavilError';
  readonly kind: ErrorKind;

  constructor(kind: ErrorKind, message: string, options?: ErrorOptions) {
    super(message, options);
    this.kind = kind;
  }
}

/** A tensor of the wrong shape or dtype. */
export class ShapeError extends DiffmavilError {
  override readonly name = 'ShapeError';

  constructor(message: string, options?: ErrorOptions) {
    super('Shape', message, options);
  }
}

/** A config, option or argument outside its range. */
export class ConfigError extends DiffmavilError {
  override readonly name = 'ConfigError';

  constructor(message: string, options?: ErrorOptions) {
    super('Config', message, options);
  }
}

/** A backend, device or library that is missing, or that cannot do what was asked. */
export class DeviceError extends DiffmavilError {
  override readonly name = 'DeviceError';

  constructor(message: string, options?: ErrorOptions) {
    super('Device', message, options);
  }
}

/** A file of weights or a run folder that is missing, damaged or of another model. */
export class CheckpointError extends DiffmavilError {
  override readonly name = 'CheckpointError';

  constructor(message: string, options?: ErrorOptions) {
    super('Checkpoint', message, options);
  }
}
