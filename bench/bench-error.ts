// SPDX-License-Identifier: Apache-2.0
// A reason not to measure: shown as one sentence, without a stack.

export class BenchError extends Error {
  override readonly name = 'BenchError';
  readonly kind = 'Bench';
}
