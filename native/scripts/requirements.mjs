// SPDX-License-Identifier: Apache-2.0
// What building the addon needs beyond Node and npm, and what of it is missing here.
import { spawnSync } from 'node:child_process';

/** Debian and Ubuntu packages. */
export const debianPackages = ['cmake', 'g++', 'libdnnl-dev'];

/** The packages of `debianPackages` whose content is not found; empty when the addon can be built. */
export function missingPackages() {
  const compiler = process.env.CXX ?? 'c++';
  const runs = (command, args, input) => spawnSync(command, args, { input }).status === 0;
  return debianPackages.filter((name) => {
    if (name === 'cmake') return !runs('cmake', ['--version']);
    if (name === 'g++') return !runs(compiler, ['--version']);
    return !runs(compiler, ['-E', '-x', 'c++', '-'], '#include <oneapi/dnnl/dnnl.h>\n');
  });
}
