// SPDX-License-Identifier: Apache-2.0
// What a GPU's data sheet promises: dense bfloat16 products on tensor cores, float32 outside of them. No GPU reaches them; they are the usual
// denominator of "model FLOPs utilisation".
import type { Precision } from '@diffmavil/core';

interface Peak {
  readonly pattern: RegExp;
  /** Operations a second. */
  readonly peak: Readonly<Record<Precision, number>>;
}

/** The first pattern that a name fits. */
const peaks: readonly Peak[] = [
  { pattern: /H100 PCIe/, peak: { bfloat16: 756e12, float32: 51e12 } },
  { pattern: /H\d00 NVL/, peak: { bfloat16: 835e12, float32: 60e12 } },
  // H100 SXM and H200 SXM have the same multiprocessors.
  { pattern: /H[12]00/, peak: { bfloat16: 989e12, float32: 67e12 } },
  { pattern: /A100/, peak: { bfloat16: 312e12, float32: 19.5e12 } },
];

/** @param device as nvidia-smi names it. */
export function peakOfDevice(device: string): Peak['peak'] | null {
  return peaks.find(({ pattern }) => pattern.test(device))?.peak ?? null;
}
