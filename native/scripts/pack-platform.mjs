// SPDX-License-Identifier: Apache-2.0
// Packs what is published for this machine's platform, of a built addon: `@diffmavil/native-<platform>`, and `@diffmavil/native` that
// depends on it, optionally and in the same version. That dependency is written into the tarball alone: kept in git, `npm ci` would
// fail until the package is published.
//
//   node native/scripts/pack-platform.mjs --out FOLDER [--build native/build]
//
// The shared libraries that the addon needs and Node does not are carried beside it, with their notices: docs/native-packages.md.
import { execFileSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const nativeFolder = dirname(dirname(fileURLToPath(import.meta.url)));
const licenceFile = join(dirname(nativeFolder), 'LICENSE');

/** Every machine that runs Node has them, no older than Node needs. */
const systemLibraries =
  /^(linux-vdso|ld-linux.*|libc|libm|libdl|librt|libpthread|libstdc\+\+|libgcc_s)\.so/;

/** What may be carried, and under which licence. */
const carriedLicences = new Map([
  ['libdnnl', 'Apache-2.0'],
  ['libgomp', 'GPL-3.0-or-later WITH GCC-exception-3.1'],
  ['libOpenCL', 'BSD-2-Clause'],
]);

/** Something that keeps a package from being packed; printed without a stack. */
class PackError extends Error {
  name = 'PackError';
}

/**
 * Packs the addon of a build folder of CMake.
 * @param {{build?: string, out: string}} options
 * @returns {{name: string, version: string, tarball: string, glibc: string, carried: string[], sizeBytes: number}}
 */
export function packPlatform({ build = join(nativeFolder, 'build'), out }) {
  const { version, engines, repository, publishConfig } = readManifest(nativeFolder);
  const platform = platformName();
  const folder = mkdtempSync(join(tmpdir(), 'diffmavil-pack-'));
  try {
    const install = ['--install', resolve(build), '--prefix', folder, '--component', 'addon'];
    execFileSync('cmake', [...install, '--strip'], { stdio: ['ignore', 'ignore', 'inherit'] });
    const addon = join(folder, 'diffmavil.node');
    checkSearchPath(addon);
    const carried = librariesOf(addon).map((library) => carry(library, folder));
    const glibc = oldestGlibc([addon, ...carried.map(({ soname }) => join(folder, soname))]);
    const licences = new Set(['Apache-2.0', ...carried.map(({ licence }) => licence)]);
    writeJson(join(folder, 'package.json'), {
      name: `@diffmavil/native-${platform.name}`,
      version,
      description: `The addon of @diffmavil/native for ${platform.name} (glibc ${glibc} or newer).`,
      license: [...licences].join(' AND '),
      main: 'diffmavil.node',
      files: ['diffmavil.node', '*.so.*', 'NOTICE.md', 'licences'],
      os: [platform.os],
      cpu: [platform.cpu],
      libc: ['glibc'],
      preferUnplugged: true,
      engines,
      repository,
      publishConfig,
    });
    copyFileSync(licenceFile, join(folder, 'LICENSE'));
    writeFileSync(join(folder, 'README.md'), readme(platform.name, glibc));
    writeFileSync(join(folder, 'NOTICE.md'), notice(carried));
    const { filename, unpackedSize } = npmPack(folder, out);
    const name = `@diffmavil/native-${platform.name}`;
    const sonames = carried.map(({ soname }) => soname);
    return { name, version, tarball: filename, glibc, carried: sonames, sizeBytes: unpackedSize };
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
    copyFileSync(licenceFile, join(unpacked, 'LICENSE'));
    return npmPack(unpacked, out).filename;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function platformName() {
  const { platform: os, arch: cpu } = process;
  process.report.excludeNetwork = true; // or it looks up host names
  const glibc = process.report.getReport().header.glibcVersionRuntime !== undefined;
  if (os !== 'linux' || !glibc)
    throw new PackError(`pack: expected Linux with glibc, got ${os}${glibc ? '' : ' without'}`);
  return { os, cpu, name: `${os}-${cpu}` };
}

/** Anything but the addon's own folder would be a folder of the machine it was built on. */
function checkSearchPath(addon) {
  const path = /\((?:RPATH|RUNPATH)\).*\[(.*)\]/.exec(output('readelf', ['-d', addon]))?.[1];
  if (path !== '$ORIGIN')
    throw new PackError(
      `pack: expected the search path $ORIGIN, got ${path}. Try: cmake -DCMAKE_INSTALL_RPATH_USE_LINK_PATH=OFF`,
    );
}

/** Paths of the libraries to carry: those that the addon needs, and those that these need. */
function librariesOf(addon) {
  return output('ldd', [addon])
    .trim()
    .split('\n')
    .map((line) => /^\s*(\S+)(?: => (.+?))?(?: \(0x\w+\))?$/.exec(line) ?? [])
    .map(([, name = '', path]) => ({ name: basename(name), path }))
    .filter(({ name }) => !systemLibraries.test(name))
    .map(({ name, path }) => {
      if (path === undefined || !existsSync(path))
        throw new PackError(`pack: expected the library ${name}, got none on this machine`);
      return path;
    });
}

/** Copies a library and its notices. */
function carry(path, folder) {
  const soname = basename(path);
  const licence = carriedLicences.get(soname.split('.so')[0]);
  if (licence === undefined)
    throw new PackError(
      `pack: expected libraries of a known licence, got ${soname}. Try: add it to carriedLicences, or link it statically`,
    );
  copyFileSync(path, join(folder, soname));
  const real = realpathSync(path);
  const [owner] = debian(['-S', real]).split(': ');
  const source = debian(['-W', '-f', '${source:Package} ${source:Version}', owner]);
  const copyright = `/usr/share/doc/${owner.split(':')[0]}/copyright`;
  const licences = join(folder, 'licences');
  mkdirSync(licences, { recursive: true });
  copyFileSync(copyright, join(licences, `${soname}.txt`));
  const text = readFileSync(copyright, 'utf8');
  for (const [full, name] of text.matchAll(/\/usr\/share\/common-licenses\/([\w.-]*\w)/g))
    if (existsSync(full)) copyFileSync(realpathSync(full), join(licences, `${name}.txt`));
  return { soname, licence, source };
}

function debian(args) {
  try {
    return output('dpkg-query', args).trim();
  } catch (cause) {
    throw new PackError(
      `pack: expected libraries of Debian packages, whose notices are carried too, got none for ${args.at(-1)}`,
      { cause },
    );
  }
}

/** The newest version of glibc that any of the files asks for. */
function oldestGlibc(files) {
  const versions = files.flatMap((file) =>
    [...output('objdump', ['-T', file]).matchAll(/GLIBC_([\d.]+)/g)].map((match) => match[1]),
  );
  return versions.toSorted((a, b) => a.localeCompare(b, 'en', { numeric: true })).at(-1);
}

const readme = (name, glibc) => `# @diffmavil/native-${name}

The compiled part of \`@diffmavil/native\` for ${name} with glibc ${glibc} or newer. npm installs it with that package; do not install it by itself.
`;

const notice = (carried) => `# Notices

\`diffmavil.node\` is under the Apache License 2.0 (LICENSE). It contains parts of GCC's libstdc++ and libgcc, under the GPL with the GCC runtime
library exception. The libraries beside it are unchanged copies of Debian's:

| file | licence | Debian source package | notices |
|---|---|---|---|
${carried.map(({ soname, licence, source }) => `| ${soname} | ${licence} | ${source} | licences/${soname}.txt |`).join('\n')}

Their sources, of exactly these versions: https://snapshot.debian.org. Full texts of the licences that the notices name are in \`licences/\`.
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
const output = (program, args) => execFileSync(program, args, { encoding: 'utf8' });

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    const { values } = parseArgs({
      options: { out: { type: 'string', default: 'packed' }, build: { type: 'string' } },
    });
    const platform = packPlatform(values);
    const native = packNative({ platforms: [platform.name], out: values.out });
    const megabytes = (bytes) => `${(bytes / 1e6).toFixed(1)} MB`;
    for (const file of [platform.tarball, native])
      process.stdout.write(`${file} ${megabytes(statSync(file).size)}\n`);
    process.stdout.write(
      `${platform.name}: ${megabytes(platform.sizeBytes)} unpacked, glibc ${platform.glibc}, carries ${platform.carried.join(', ')}\n`,
    );
  } catch (error) {
    process.stderr.write(`${error instanceof PackError ? error.message : error.stack}\n`);
    process.exitCode = 1;
  }
}
