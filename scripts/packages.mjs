// SPDX-License-Identifier: Apache-2.0
// Which packages the repository has, and their installation: `npm ci` when what is installed is not what package-lock.json says.
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root, runQuietly } from './stage.mjs';

const stampFile = 'node_modules/.diffmavil-setup';

/** The workspaces, as folders relative to the repository, each with its package.json. */
export function workspaces(repository = root) {
  const { workspaces: patterns } = readJson(join(repository, 'package.json'));
  return patterns
    .flatMap((pattern) =>
      pattern.endsWith('/*')
        ? readdirSync(join(repository, pattern.slice(0, -2))).map(
            (name) => `${pattern.slice(0, -1)}${name}`,
          )
        : [pattern],
    )
    .filter((folder) => existsSync(join(repository, folder, 'package.json')))
    .toSorted()
    .map((folder) => ({ folder, manifest: readJson(join(repository, folder, 'package.json')) }));
}

/** The folders of the packages that are published. */
export function publicPackages(repository = root) {
  return workspaces(repository)
    .filter(({ manifest }) => manifest.private !== true)
    .map(({ folder }) => folder);
}

/** Installs what package-lock.json says. @returns {Promise<boolean>} Whether anything had to be done. */
export async function installPackages(repository = root) {
  const stamp = join(repository, stampFile);
  const wanted = packagesHash(repository);
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) return false;
  const current = installedAsLocked(repository);
  if (!current) await npm('ci', '--no-audit', '--no-fund', '--loglevel=error');
  mkdirSync(join(repository, 'node_modules'), { recursive: true });
  writeFileSync(stamp, wanted);
  return !current;
}

/** Of everything that decides what is installed: the manifests, the lock file, the machine. */
function packagesHash(repository) {
  const files = [
    'package.json',
    'package-lock.json',
    ...workspaces(repository).map(({ folder }) => `${folder}/package.json`),
  ];
  const hash = createHash('sha256').update(`${process.platform} ${process.arch}\n`);
  for (const file of files) hash.update(`${file}\n`).update(readFileSync(join(repository, file)));
  return hash.digest('hex');
}

/**
 * Whether node_modules already holds what package-lock.json says, say after `npm install`. npm keeps a record of what it installed; packages
 * for other machines are not in it.
 */
export function installedAsLocked(repository = root) {
  const record = join(repository, 'node_modules/.package-lock.json');
  if (!existsSync(record)) return false;
  const [wanted, installed] = [join(repository, 'package-lock.json'), record].map(
    (file) => readJson(file).packages,
  );
  return Object.entries(wanted).every(([path, entry]) => {
    if (!path.includes('node_modules/')) return true;
    const found = installed[path];
    if (found === undefined) return entry.optional === true && !isForThisMachine(entry);
    return (
      found.version === entry.version &&
      found.integrity === entry.integrity &&
      (entry.link === true
        ? existsSync(join(repository, path))
        : installedVersion(join(repository, path)) === entry.version)
    );
  });
}

/** Read from the package itself: the record tells what npm meant to do. */
function installedVersion(folder) {
  const manifest = join(folder, 'package.json');
  return existsSync(manifest) ? readJson(manifest).version : null;
}

/** Whether an optional package names this machine; what only such a package needs names none. */
function isForThisMachine({ os, cpu, libc }) {
  return (
    (os ?? cpu ?? libc) !== undefined &&
    (os === undefined || os.includes(process.platform)) &&
    (cpu === undefined || cpu.includes(process.arch)) &&
    (libc === undefined || libc.includes(machineLibc()))
  );
}

function machineLibc() {
  process.report.excludeNetwork = true; // or it looks up host names
  return process.report.getReport().header.glibcVersionRuntime === undefined ? 'musl' : 'glibc';
}

/** Runs the npm that runs this script, else the one on PATH. */
function npm(...args) {
  const advice = 'npm install, when a package.json was changed by hand';
  const running = process.env.npm_execpath;
  return running?.endsWith('npm-cli.js')
    ? runQuietly(process.execPath, [running, ...args], { advice })
    : runQuietly('npm', args, { advice });
}

function readJson(file) {
  return JSON.parse(readFileSync(file, 'utf8'));
}
