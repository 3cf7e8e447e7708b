// SPDX-License-Identifier: Apache-2.0
// Packs what is published for this machine's platform, of what is built: `@diffmavil/native-<platform>` with the addon,
// `@diffmavil/native-<platform>-cuda` with the device library where that is built, and `@diffmavil/native` that depends on both, optionally
// and in the same version. Those dependencies are written into the tarball alone: kept in git, `npm ci` would fail until the packages
// are published.
//
//   node native/scripts/pack-platform.mjs --out FOLDER [--addon native/build/Release/diffmavil.node]
//     [--library native/build-cuda/device/libdiffmavil_cuda.so]
import { execFileSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
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

const defaultAddon = join(nativeFolder, 'build/Release/diffmavil.node');
const defaultLibrary = join(nativeFolder, 'build-cuda/device/libdiffmavil_cuda.so');

/** The most that npm is to download on every machine, most of which have no GPU. */
const cudaLimitBytes = 25e6;

/** What the device library of a package is made for, as its sources keep it. */
const cudaArchitectures = '80-real 90a-real 100-real';

/** Something that keeps a package from being packed; printed without a stack. */
class PackError extends Error {
  name = 'PackError';
}

/**
 * @typedef {object} Packed
 * @property {string} name
 * @property {string} version
 * @property {string} tarball
 * @property {string} glibc The oldest that it runs with.
 * @property {number} sizeBytes Unpacked.
 */

/**
 * Packs an addon, without its symbols.
 * @param {{addon?: string, out: string}} options
 * @returns {Packed}
 */
export function packPlatform({ addon = defaultAddon, out }) {
  const { os, cpu } = linuxWithGlibc();
  const glibc = neededGlibc(addon, 'an addon');
  return packBinary({
    name: `@diffmavil/native-${os}-${cpu}`,
    description: `The addon of @diffmavil/native for ${os}-${cpu} (glibc ${glibc} or newer).`,
    file: 'diffmavil.node',
    binary: addon,
    glibc,
    readme: addonReadme,
    out,
  });
}

/**
 * Packs a device library, without its symbols.
 * @param {{library?: string, out: string, limitBytes?: number}} options `limitBytes`: of the tarball.
 * @returns {Packed}
 */
export function packCuda({ library = defaultLibrary, out, limitBytes = cudaLimitBytes }) {
  const { os, cpu } = linuxWithGlibc();
  const glibc = neededGlibc(library, 'a device library');
  if (!readFileSync(library).includes(`${cudaArchitectures}\0`))
    throw new PackError(
      `pack: expected a device library for ${cudaArchitectures}, got one for others`,
    );
  const packed = packBinary({
    name: `@diffmavil/native-${os}-${cpu}-cuda`,
    description: `The device library of @diffmavil/native for NVIDIA GPUs, ${os}-${cpu} (glibc ${glibc} or newer).`,
    file: 'libdiffmavil_cuda.so',
    binary: library,
    glibc,
    readme: cudaReadme,
    more: ' AND LicenseRef-NVIDIA-CUDA-Toolkit',
    out,
  });
  const { size } = statSync(packed.tarball);
  if (size <= limitBytes) return packed;
  rmSync(packed.tarball);
  const megabytes = (bytes) => `${(bytes / 1e6).toFixed(3)} MB`;
  throw new PackError(
    `pack: expected a tarball of at most ${megabytes(limitBytes)}, got ${megabytes(size)}`,
  );
}

/** Packs one compiled file as a package of its own. `more`: licences beside ours. */
function packBinary({ name, description, file, binary, glibc, readme, more = '', out }) {
  const { version, license, engines, repository, publishConfig } = readManifest(nativeFolder);
  const { os, cpu } = linuxWithGlibc();
  const folder = mkdtempSync(join(tmpdir(), 'diffmavil-pack-'));
  try {
    execFileSync('strip', ['-o', join(folder, file), binary]);
    writeJson(join(folder, 'package.json'), {
      name,
      version,
      description,
      license: license + more,
      main: file,
      files: [file],
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

/** The oldest glibc that a library, `what`, runs with: the newest version that its symbols name. */
function neededGlibc(library, what) {
  const headers = execFileSync('objdump', ['-p', library], { encoding: 'utf8' });
  const all = (pattern) => [...headers.matchAll(pattern)].map((match) => match[1]);
  const foreign = all(/^ +(?:NEEDED|RPATH|RUNPATH) +(.*)$/gm).filter(
    (name) => !systemLibraries.test(name),
  );
  if (foreign.length > 0)
    throw new PackError(
      `pack: expected ${what} that needs libraries of the system alone, got ${foreign.join(', ')}`,
    );
  const versions = all(/ GLIBC_([\d.]+)$/gm);
  return versions.toSorted((a, b) => a.localeCompare(b, 'en', { numeric: true })).at(-1);
}

const addonReadme = (name, glibc) => `# ${name}

The compiled part of \`@diffmavil/native\`, for glibc ${glibc} or newer. npm installs it with that package; do not install it by itself.
It contains parts of GCC's libstdc++ and libgcc, used under the GCC Runtime Library Exception.
`;

const cudaReadme = (name, glibc) => `# ${name}

The CUDA kernels of \`@diffmavil/native\`, for its backend \`diffmavil-cuda\`. npm installs it with that package; do not install it by itself.

| needs | |
|---|---|
| GPU | compute capability 8.0 and newer 8.x (Ampere, Ada), 9.0 (Hopper), 10.0 and newer 10.x (Blackwell): built for sm_80, sm_90a and sm_100 |
| driver | 580 or newer, that of CUDA 13; no CUDA toolkit |
| system | Linux with glibc ${glibc} or newer |

It is loaded when a GPU is asked for, and says in one sentence where there is none, or no driver.

It contains the CUDA runtime, linked statically, of NVIDIA's CUDA Toolkit: that part is NVIDIA's, under the licence agreement of the toolkit
(https://docs.nvidia.com/cuda/eula/), which lets it be passed on within programs. It also contains parts of GCC's libstdc++ and libgcc, used
under the GCC Runtime Library Exception. Everything else is under the licence in this package.
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
    const text = { type: 'string' };
    const { values } = parseArgs({
      options: { out: { ...text, default: 'packed' }, addon: text, library: text },
    });
    const packages = [packPlatform(values)];
    if (values.library !== undefined || existsSync(defaultLibrary)) packages.push(packCuda(values));
    const platforms = packages.map(({ name }) => name);
    const native = packNative({ platforms, out: values.out });
    const megabytes = (bytes) => `${(bytes / 1e6).toFixed(1)} MB`;
    for (const file of [...packages.map(({ tarball }) => tarball), native])
      process.stdout.write(`${file} ${megabytes(statSync(file).size)}\n`);
    for (const { name, sizeBytes, glibc } of packages)
      process.stdout.write(`${name}: ${megabytes(sizeBytes)} unpacked, glibc ${glibc} or newer\n`);
  } catch (error) {
    process.stderr.write(`${error instanceof PackError ? error.message : error.stack}\n`);
    process.exitCode = 1;
  }
}
