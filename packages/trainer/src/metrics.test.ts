// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { inverseNormalCdf, retrievalMetrics, taggingMetrics, topKAccuracy } from './metrics.ts';

// scikit-learn and SciPy, conformance/golden/trainer.py.
const golden = JSON.parse(
  readFileSync(
    new URL('../../../conformance/golden/fixtures/trainer/metrics.json', import.meta.url),
    'utf8',
  ),
) as {
  clips: number;
  classes: number;
  averagePrecision: (number | null)[];
  auc: (number | null)[];
  meanAveragePrecision: number;
  meanAuc: number;
  dPrime: number;
  normalQuantiles: Record<string, number>;
};

/** The generator the golden program draws its scores from. */
function lcg(seed: number, count: number): number[] {
  let state = BigInt(seed);
  return Array.from({ length: count }, () => {
    state = (1103515245n * state + 12345n) % 2147483648n;
    return Number(state) / 2147483648;
  });
}

describe('taggingMetrics', () => {
  const { clips, classes } = golden;
  const values = Float32Array.from(lcg(7, clips * classes), (u) => roundHalfEven(u * 16) / 16);
  const targets = Uint8Array.from(lcg(11, clips * classes), (u, i) =>
    u < 0.3 && i % classes !== 3 ? 1 : 0,
  );
  const metrics = taggingMetrics({ values, clips, classes }, targets);

  it('agrees with scikit-learn on scores with ties', () => {
    const rounded = (values: readonly (number | null)[]): (string | undefined)[] =>
      values.map((value) => value?.toFixed(12));
    expect(rounded(metrics.averagePrecision)).toEqual(rounded(golden.averagePrecision));
    expect(rounded(metrics.auc)).toEqual(rounded(golden.auc));
    expect(metrics.meanAveragePrecision).toBeCloseTo(golden.meanAveragePrecision, 12);
    expect(metrics.meanAuc).toBeCloseTo(golden.meanAuc, 12);
    expect(metrics.dPrime).toBeCloseTo(golden.dPrime, 12);
  });

  it('leaves a class without positives out of the means and says so', () => {
    expect(metrics.skippedClasses).toBe(1);
  });
});

describe('inverseNormalCdf', () => {
  it('agrees with SciPy in the middle and in the tails', () => {
    for (const [p, expected] of Object.entries(golden.normalQuantiles)) {
      expect(inverseNormalCdf(Number(p))).toBeCloseTo(expected, 9);
    }
    expect(inverseNormalCdf(1)).toBe(Infinity);
    expect(inverseNormalCdf(2)).toBeNaN();
  });
});

describe('topKAccuracy', () => {
  it('counts a tie against the clip', () => {
    const values = Float32Array.of(1, 0, 0, 0.5, 0.5, 0, 0, 1, 2);
    const scores = { values, clips: 3, classes: 3 };
    expect(topKAccuracy(scores, Int32Array.of(0, 0, 0), 1)).toBeCloseTo(1 / 3, 12);
    expect(topKAccuracy(scores, Int32Array.of(0, 0, 0), 2)).toBeCloseTo(2 / 3, 12);
    expect(topKAccuracy(scores, Int32Array.of(0, 0, 0), 3)).toBe(1);
  });
});

describe('retrievalMetrics', () => {
  it('ranks by cosine, whatever the lengths of the vectors', () => {
    const queries = [Float32Array.of(1, 0), Float32Array.of(0, 5), Float32Array.of(1, 1)];
    const gallery = [Float32Array.of(9, 1), Float32Array.of(0, 0.1), Float32Array.of(1, -1)];
    // By hand: query 0 finds itself first, query 1 too, query 2 finds its own (cosine 0) last.
    expect(retrievalMetrics(queries, gallery)).toEqual({
      recallAt1: 2 / 3,
      recallAt5: 1,
      recallAt10: 1,
      medianRank: 1,
      chance: 1 / 3,
    });
  });

  it('does not call a collapsed model perfect: equal similarities share the last rank', () => {
    const same = Array.from({ length: 4 }, () => Float32Array.of(1, 2));
    expect(retrievalMetrics(same, same)).toMatchObject({ recallAt1: 0, medianRank: 4 });
  });
});

function roundHalfEven(value: number): number {
  const floor = Math.floor(value);
  if (value - floor !== 0.5) return Math.round(value);
  return floor % 2 === 0 ? floor : floor + 1;
}
