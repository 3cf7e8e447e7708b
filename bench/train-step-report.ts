// SPDX-License-Identifier: Apache-2.0
// The tables of the training-step bench.
import { peakOf } from './ceilings.ts';
import type { Ceilings } from './ceilings.ts';
import { figure, markdownTable, percent } from './report.ts';
import { quantile } from './rounds.ts';
import type { GroupResult } from './train-step.ts';

/** One row for each preset, dtype and side; then where the time of each side went. */
export function trainStepTables(groups: readonly GroupResult[], ceilings: Ceilings | null): string {
  return [stepTable(groups, ceilings), ...groups.flatMap((g) => profileTables(g, ceilings))].join(
    '\n\n',
  );
}

function stepTable(groups: readonly GroupResult[], ceilings: Ceilings | null): string {
  const head = ['preset', 'dtype', 'side', 'ms per step', 'quartiles', 'times as long'];
  const rows = groups.flatMap(({ preset, precision, results, missing }) => [
    ...results.map(({ side, medianMs, turnsMs, ratio, gflopPerS, peakBytes }) => {
      const peak = peakOf(ceilings, precision);
      return [
        preset,
        precision,
        side,
        figure(medianMs),
        `${figure(quantile(turnsMs, 0.25))}..${figure(quantile(turnsMs, 0.75))}`,
        figure(ratio),
        figure(gflopPerS),
        percent(peak === null ? null : gflopPerS / peak),
        figure(peakBytes === null ? null : peakBytes / 2 ** 20),
      ];
    }),
    ...Object.entries(missing).map(([side, why]) => [preset, precision, side, why.slice(0, 60)]),
  ]);
  const full = [...head, 'GFLOP/s', 'of peak', 'peak MiB'];
  return markdownTable(
    full,
    rows.map((row) => full.map((_, i) => row[i] ?? '–')),
    3,
  );
}

/** Kernels that take a hundredth of the step or more. */
function profileTables(group: GroupResult, ceilings: Ceilings | null): string[] {
  const peak = peakOf(ceilings, group.precision);
  return group.results.flatMap(({ side, profile }) => {
    if (profile === null) return [];
    const { stepMs, kernels } = profile;
    const inside = kernels.reduce((sum, { ms }) => sum + ms, 0);
    const native = kernels.reduce((sum, { nativeMs }) => sum + nativeMs, 0);
    const rows = kernels
      .filter(({ ms }) => ms >= 0.01 * stepMs)
      .map(({ kernel, calls, ms, nativeMs, flops }) => {
        const rate = flops > 0 ? flops / ms / 1e6 : null;
        return [
          kernel,
          figure(calls),
          figure(ms),
          percent(ms / stepMs),
          figure(nativeMs),
          figure(rate),
          percent(rate === null || peak === null ? null : rate / peak),
        ];
      });
    const head = ['kernel', 'calls', 'ms', 'of step', 'in native code ms', 'GFLOP/s', 'of peak'];
    const title = `${group.preset}, ${group.precision}, ${side}: one profiled step, ${figure(stepMs)} ms`;
    const rest = `Outside kernels: ${figure(stepMs - inside)} ms. In native code: ${figure(native)} ms.`;
    return [`${title}\n\n${markdownTable(head, rows)}\n\n${rest}`];
  });
}
