// SPDX-License-Identifier: Apache-2.0
// Packs what is published for this machine's platform, of a built addon: `@diffmavil/native-<platform>`, and `@diffmavil/native` that
// depends on it, optionally and in the same version. That dependency is written into the tarball alone: kept in git, `npm ci` would
// fail until the package is published.
//
//   node native/scripts/pack-platform.mjs --out FOLDER [--addon native/build/Release/diffmavil.node]
import { execFileSync } from 'node:child_process';
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const nativeFolder = dirname(dirname(fileURLToPath(import.meta.url)));

/** What every Linux that runs Node has. */
const systemLibraries = /^(ld-linux.*|libc|libdl|libm|libpthread|librt)\.so\.\d+$/;

/** Something that keeps a package from being packed; printed without a stack. */
class PackError extends Error {
  name = 'PackError';
}

/**
 * Packs an addon, without its symbols.
 * @param {{addon?: string, out: string}} options
 * @returns {{name: string, version: string, tarball: string, glibc: string, sizeBytes: number}}
 */
export function packPlatform({ addon = join(nativeFolder, 'build/Release/diffmavil.node'), out }) {
  const { version, license, engines, repository, publishConfig } = readManifest(nativeFolder);
  const { os, cpu } = linuxWithGlibc();
  const name = `@diffmavil/native-${os}-${cpu}`;
  const folder = mkdtempSync(join(tmpdir(), 'diffmavil-pack-'));
  try {
    const glibc = neededGlibc(addon);
    execFileSync('strip', ['-o', join(folder, 'diffmavil.node'), addon]);
    writeJson(join(folder, 'package.json'), {
      name,
      version,
      description: `The addon of @diffmavil/native for ${os}-${cpu} (glibc ${glibc} or newer).`,
      license,
      main: 'diffmavil.node',
      files: ['diffmavil.node'],
      os: [os],
      cpu: [cpu],
      libc: ['glibc'],
      preferUnplugged: true,
      engines,
      repository,
      publishConfig,
    });
    copyFileSync(join(nativeFolder, 'LICENSE'), join(folder, 'LICENSE'));
    writeFileSync(join(folder, 'README.md'), readme(name, glibc));
    const { filename, unpackedSize } = npmPack(folder, out);
    return { name, version, tarball: filename, glibc, sizeBytes: unpackedSize };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/**
 * Packs @diffmavil/native with these platform packages as optional dependencies, in exactly its own version.
 * @param {{platforms: readonly string[], out: string}} options `platforms`: names of packages.
 * @returns {string} The tarball.
 */
export function packNative({ platforms, out }) {
  const folder = mkdtempSync(join(tmpdir(), 'diffmavil-pack-'));
  try {
    const { filename } = npmPack(nativeFolder, folder);
    execFileSync('tar', ['-xzf', filename, '-C', folder]);
    const unpacked = join(folder, 'package');
    const manifest = readManifest(unpacked);
    const optionalDependencies = Object.fromEntries(
      platforms.map((name) => [name, manifest.version]),
    );
    writeJson(join(unpacked, 'package.json'), { ...manifest, optionalDependencies });
    return npmPack(unpacked, out).filename;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function linuxWithGlibc() {
  const { platform: os, arch: cpu } = process;
  process.report.excludeNetwork = true; // or it looks up host names
  const glibc = process.report.getReport().header.glibcVersionRuntime !== undefined;
  if (os !== 'linux' || !glibc)
    throw new PackError(`pack: expected Linux with glibc, got ${os}${glibc ? '' : ' without'}`);
  return { os, cpu };
}

/** The oldest glibc that the addon runs with: the newest version that its symbols name. */
function neededGlibc(addon) {
  const headers = execFileSync('objdump', ['-p', addon], { encoding: 'utf8' });
  const all = (pattern) => [...headers.matchAll(pattern)].map((match) => match[1]);
  const foreign = all(/^ +(?:NEEDED|RPATH|RUNPATH) +(.*)$/gm).filter(
    (name) => !systemLibraries.test(name),
  );
  if (foreign.length > 0)
    throw new PackError(
      `pack: expected an addon that needs libraries of the system alone, got ${foreign.join(', ')}`,
    );
  const versions = all(/ GLIBC_([\d.]+)$/gm);
  return versions.toSorted((a, b) => a.localeCompare(b, 'en', { numeric: true })).at(-1);
}

const readme = (name, glibc) => `# ${name}

The compiled part of \`@diffmavil/native\`, for glibc ${glibc} or newer. npm installs it with that package; do not install it by itself.
It contains parts of GCC's libstdc++ and libgcc, used under the GCC Runtime Library Exception.
`;

/**
 * Packs the package in a folder, without its scripts.
 * @param {string} folder
 * @param {string} out
 * @returns {{filename: string, unpackedSize: number}} `filename`: its whole path.
 */
export function npmPack(folder, out) {
  mkdirSync(out, { recursive: true });
  const running = process.env.npm_execpath;
  const npm = running?.endsWith('npm-cli.js') ? [process.execPath, running] : ['npm'];
  const [program, ...args] = [...npm, 'pack', '--json', '--ignore-scripts', '--pack-destination'];
  const printed = execFileSync(program, [...args, resolve(out)], {
    cwd: folder,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const [packed] = JSON.parse(printed);
  return { ...packed, filename: join(resolve(out), basename(packed.filename)) };
}

const readManifest = (folder) => JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
const writeJson = (file, value) => writeFileSync(file, `${JSON.stringify(value, null, 2)}\n`);

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    const { values } = parseArgs({
      options: { out: { type: 'string', default: 'packed' }, addon: { type: 'string' } },
    });
    const platform = packPlatform(values);
    const native = packNative({ platforms: [platform.name], out: values.out });
    const megabytes = (bytes) => `${(bytes / 1e6).toFixed(1)} MB`;
    for (const file of [platform.tarball, native])
      process.stdout.write(`${file} ${megabytes(statSync(file).size)}\n`);
    process.stdout.write(
      `${platform.name}: ${megabytes(platform.sizeBytes)} unpacked, glibc ${platform.glibc} or newer\n`,
    );
  } catch (error) {
    process.stderr.write(`${error instanceof PackError ? error.message : error.stack}\n`);
    process.exitCode = 1;
  }
}
