// SPDX-License-Identifier: Apache-2.0
// Figures of merit for tagging, classification and retrieval, as scikit-learn and the papers' evaluation code define them.

/** Scores `[clips, classes]`, row-major; only their order within a class (or within a row) matters. */
export interface Scores {
  readonly values: Float32Array;
  readonly clips: number;
  readonly classes: number;
}

export interface TaggingMetrics {
  /** Mean over classes of the average precision, classes without positives left out. */
  readonly meanAveragePrecision: number;
  /** Mean area under the ROC curve over the same classes. */
  readonly meanAuc: number;
  /** sqrt(2) * inverse normal CDF of the mean AUC [AudioMAE, CAV-MAE]. */
  readonly dPrime: number;
  /** By class; null where no clip or every clip is positive. */
  readonly averagePrecision: readonly (number | null)[];
  readonly auc: readonly (number | null)[];
  /** Classes left out of the means. */
  readonly skippedClasses: number;
}

/** @param targets Multi-hot `[clips, classes]`, 0 or 1. */
export function taggingMetrics(scores: Scores, targets: Uint8Array): TaggingMetrics {
  const averagePrecisions: (number | null)[] = [];
  const aucs: (number | null)[] = [];
  for (let c = 0; c < scores.classes; c++) {
    const column = Array.from({ length: scores.clips }, (_, i) => ({
      score: scores.values[i * scores.classes + c]!,
      positive: targets[i * scores.classes + c] === 1,
    })).sort((a, b) => b.score - a.score);
    const positives = column.filter((item) => item.positive).length;
    const usable = positives > 0 && positives < column.length;
    averagePrecisions.push(usable ? averagePrecision(column, positives) : null);
    aucs.push(usable ? rocAuc(column, positives) : null);
  }
  const used = aucs.filter((value) => value !== null);
  const meanAuc = mean(used);
  return {
    meanAveragePrecision: mean(averagePrecisions.filter((value) => value !== null)),
    meanAuc,
    dPrime: Math.SQRT2 * inverseNormalCdf(meanAuc),
    averagePrecision: averagePrecisions,
    auc: aucs,
    skippedClasses: scores.classes - used.length,
  };
}

type Ranked = readonly { readonly score: number; readonly positive: boolean }[];

/** sum_n (R_n - R_{n-1}) P_n over distinct scores, ties taken together. */
function averagePrecision(ranked: Ranked, positives: number): number {
  let found = 0;
  let area = 0;
  for (let start = 0; start < ranked.length;) {
    const end = endOfTie(ranked, start);
    const gained = ranked.slice(start, end).filter((item) => item.positive).length;
    found += gained;
    area += (gained / positives) * (found / end);
    start = end;
  }
  return area;
}

/** Probability that a positive scores above a negative, ties counting one half. */
function rocAuc(ranked: Ranked, positives: number): number {
  const negatives = ranked.length - positives;
  let negativesAbove = 0;
  let pairs = 0;
  for (let start = 0; start < ranked.length;) {
    const end = endOfTie(ranked, start);
    const tiePositives = ranked.slice(start, end).filter((item) => item.positive).length;
    const tieNegatives = end - start - tiePositives;
    pairs += tiePositives * (negatives - negativesAbove - tieNegatives / 2);
    negativesAbove += tieNegatives;
    start = end;
  }
  return pairs / (positives * negatives);
}

function endOfTie(ranked: Ranked, start: number): number {
  let end = start + 1;
  while (end < ranked.length && ranked[end]!.score === ranked[start]!.score) end++;
  return end;
}

/** Share of rows whose true class is among the `k` highest scores; ties count against the row. */
export function topKAccuracy(scores: Scores, classes: Int32Array, k: number): number {
  let hits = 0;
  for (let i = 0; i < scores.clips; i++) {
    const row = scores.values.subarray(i * scores.classes, (i + 1) * scores.classes);
    const own = row[classes[i]!]!;
    const atLeast = row.reduce((count, score) => count + (score >= own ? 1 : 0), 0);
    if (atLeast <= k) hits++;
  }
  return hits / scores.clips;
}

export interface RetrievalMetrics {
  readonly recallAt1: number;
  readonly recallAt5: number;
  readonly recallAt10: number;
  /** Rank of the true match, from 1. */
  readonly medianRank: number;
  /** R@1 of a random order. */
  readonly chance: number;
}

/**
 * Retrieval of `gallery[i]` by `queries[i]` under cosine similarity; ties count against the match.
 * @param queries `[clips, width]`. @param gallery `[clips, width]`.
 */
export function retrievalMetrics(
  queries: readonly Float32Array[],
  gallery: readonly Float32Array[],
): RetrievalMetrics {
  const a = queries.map(unit);
  const b = gallery.map(unit);
  const ranks = a.map((query, i) => {
    const similarities = b.map((item) => dot(query, item));
    return similarities.filter((value) => value >= similarities[i]!).length;
  });
  const recall = (k: number): number => ranks.filter((rank) => rank <= k).length / ranks.length;
  const sorted = ranks.toSorted((x, y) => x - y);
  const middle = sorted.length >> 1;
  const medianRank =
    sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
  return {
    recallAt1: recall(1),
    recallAt5: recall(5),
    recallAt10: recall(10),
    medianRank,
    chance: 1 / ranks.length,
  };
}

/** The vector over its length. */
export function unit(vector: Float32Array): Float32Array {
  const length = Math.sqrt(dot(vector, vector)) || 1;
  return vector.map((value) => value / length);
}

export function dot(a: Float32Array, b: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}

function mean(values: readonly number[]): number {
  return values.length === 0
    ? Number.NaN
    : values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** Inverse of the standard normal CDF by bisection on the complementary error function; +-Infinity at 1 and 0. */
export function inverseNormalCdf(probability: number): number {
  if (!(probability > 0 && probability < 1))
    return probability === 1 ? Infinity : probability === 0 ? -Infinity : Number.NaN;
  let low = -40;
  let high = 40;
  for (let i = 0; i < 200; i++) {
    const middle = (low + high) / 2;
    if (normalCdf(middle) < probability) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}

/** Standard normal CDF: the Taylor series near 0, the continued fraction in the tails (both to double precision). */
function normalCdf(x: number): number {
  if (Math.abs(x) < 5) {
    let term = x;
    let sum = x;
    for (let n = 1; Math.abs(term) > 1e-17 * Math.abs(sum); n++) {
      term *= (x * x) / (2 * n + 1);
      sum += term;
    }
    return 0.5 + (sum * Math.exp((-x * x) / 2)) / Math.sqrt(2 * Math.PI);
  }
  let fraction = 0;
  for (let n = 60; n > 0; n--) fraction = n / (Math.abs(x) + fraction);
  const tail = Math.exp((-x * x) / 2) / Math.sqrt(2 * Math.PI) / (Math.abs(x) + fraction);
  return x > 0 ? 1 - tail : tail;
}
