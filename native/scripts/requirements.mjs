// SPDX-License-Identifier: Apache-2.0
// What building the addon needs beyond Node and npm, and what of it is missing here.
import { spawnSync } from 'node:child_process';

/** The Debian and Ubuntu packages that are missing here; none when the addon can be built. */
export function missingPackages() {
  const needed = { cmake: ['cmake'], 'g++': [process.env.CXX ?? 'c++'], make: ['make', 'ninja'] };
  const runs = (program) => spawnSync(program, ['--version']).status === 0;
  return Object.keys(needed).filter((name) => !needed[name].some(runs));
}
