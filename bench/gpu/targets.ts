// SPDX-License-Identifier: Apache-2.0
// What the comparison has to show: the step of the preset base within its time on an H200, a host that is done long before the GPU, and PyTorch's best
// configuration beaten wherever both ran.
import type { CompareFigures } from './compare.ts';
import type { Row } from './rows.ts';

/** Milliseconds of a step of 64 clips at mask ratio 0.8, bfloat16. */
const wanted = { ms: 105, stretchMs: 95 };
const mostHostShare = 0.05;
const fewestClips = 16;

/** One row for each target, from the rows of the comparison. @param device as nvidia-smi names it. */
export function targetRows(rows: readonly Row[], device: string | null): Row[] {
  const measured = rows.flatMap(({ suite, state, figures }) =>
    suite === 'compare' && state === 'passed' ? [figures as unknown as CompareFigures] : [],
  );
  const base = measured.filter(({ preset }) => preset === 'base');
  const ours = base.filter(({ side }) => side.startsWith('diffmavil-cuda'));
  return [
    stepTime(ours, device),
    hostShare(ours.filter(({ batch }) => batch >= fewestClips)),
    beatsPyTorch(base),
  ];
}

function stepTime(ours: readonly CompareFigures[], device: string | null): Row {
  const name = `base bfloat16, 64 clips, mask ratio 0.8: at most ${wanted.ms} ms on an H200, ${wanted.stretchMs} as a stretch`;
  const steps = ours.filter(
    (each) => each.precision === 'bfloat16' && each.batch === 64 && each.maskRatio === 0.8,
  );
  if (steps.length === 0) return notRun(name, 'that step was not measured');
  const medianMs = Math.min(...steps.map((each) => each.medianMs));
  const figures = { device, medianMs, ...wanted };
  if (!/H200/.test(device ?? '')) {
    return { ...notRun(name, `measured on ${device}, which is no H200`), figures };
  }
  return verdict(name, medianMs <= wanted.ms, `${medianMs} ms`, figures);
}

function hostShare(ours: readonly CompareFigures[]): Row {
  const name = `base, ${fewestClips} clips and more: the host takes less than ${100 * mostHostShare} % of the step`;
  // Training takes the faster of plain and captured steps.
  const shares = [...groupsOf(ours).values()].map((sides) => {
    const [taken] = sides.toSorted((a, b) => a.medianMs - b.medianMs);
    const { side, precision, batch, maskRatio, hostShare: share } = taken!;
    return { side, precision, batch, maskRatio, share };
  });
  if (shares.length === 0) return notRun(name, 'no such step was measured');
  const good = shares.every(({ share }) => share !== null && share < mostHostShare);
  return verdict(name, good, 'a greater share, see the figures', { shares });
}

function beatsPyTorch(base: readonly CompareFigures[]): Row {
  const name = "base: faster than PyTorch's best configuration at the same batch";
  const ratios = [...groupsOf(base)].flatMap(([group, sides]) => {
    const peers = sides.filter(({ ratio, side }) => ratio !== null && side.startsWith('PyTorch'));
    const best = peers.toSorted((a, b) => a.ratio! - b.ratio!)[0];
    if (best === undefined) return [];
    // Against plain launches; where the captured step is faster, it is what a user runs.
    const captured = sides.find(({ side }) => side === 'diffmavil-cuda graph')?.ratio ?? 1;
    return [{ group, best: best.side, timesAsLong: best.ratio! / Math.min(1, captured) }];
  });
  if (ratios.length === 0) return notRun(name, 'no step was measured on both sides');
  const good = ratios.every(({ timesAsLong }) => timesAsLong > 1);
  return verdict(name, good, 'slower in some group, see the figures', { ratios });
}

/** Figures of the same step. */
function groupsOf(figures: readonly CompareFigures[]): Map<string, CompareFigures[]> {
  const groups = new Map<string, CompareFigures[]>();
  for (const each of figures) {
    const group = `${each.precision}, ${each.batch} clips, mask ratio ${each.maskRatio}`;
    groups.set(group, [...(groups.get(group) ?? []), each]);
  }
  return groups;
}

function notRun(name: string, reason: string): Row {
  return { suite: 'targets', name, state: 'not run', reason };
}

function verdict(name: string, good: boolean, got: string, figures: Row['figures']): Row {
  const row = { suite: 'targets', name, ...(figures && { figures }) } as const;
  return good
    ? { ...row, state: 'passed' }
    : { ...row, state: 'failed', reason: `expected that, got ${got}` };
}
