// SPDX-License-Identifier: Apache-2.0
// `npm run pack:gpu`: the suites of the backend on a GPU as one folder, native/build-gpu-pack, for a machine with a driver and no network: Node itself,
// the addon, the device library and the sources that nvcc builds it from, the suites in a few files, the goldens and PyTorch's side. It is laid out as the
// checkout is, so that files find each other by the same paths. At most 60 MB.
//
//   node native/scripts/pack-gpu.mjs [--out FOLDER] [--without-node] [--backend NAME]
import { execFileSync, spawnSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { build } from 'esbuild';

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const require = createRequire(import.meta.url);
/** The most that a folder may hold, in bytes: what is carried to such a machine has to be small. */
export const mostBytes = 60e6;

/** Something that keeps the folder from being made; printed without a stack. */
class PackError extends Error {
  name = 'PackError';
}

/** Packages that stay packages: one copy of tfjs-core for all, and what is loaded by name. */
const packages = ['@tensorflow/tfjs-core', '@tensorflow/tfjs-backend-cpu'];
const programs = ['bench/step-process', 'bench/gpu/main', 'bench/gpu/suite-process'];
/** Copied as they are, where they are there. */
const files = [
  'LICENSE',
  'native/package.json',
  'native/run-node-suites-on-gpu.sh',
  'native/build/Release/diffmavil.node',
  'native/build-cuda/libdiffmavil_cuda_emulated.so',
  'bench/peers/train_step.py',
  'bench/peers/diffmavil_torch.py',
  'conformance/golden/fixtures/diffmavil',
  'conformance/golden/fixtures/family',
  // It reads its own files.
  'node_modules/jasmine-core',
  // What CMake builds the device library from, where it was not built here.
  'native/cuda',
  'native/core',
  'native/include',
  'native/tests',
];
const library = 'native/build-cuda/device/libdiffmavil_cuda.so';

/**
 * Makes the folder, in place of one that is there.
 *
 * @param {{out?: string, node?: boolean, backend?: string}} options `node`: whether Node itself is packed, and what is large compressed.
 * @returns {Promise<{name: string, bytes: number}[]>} What is in it, by folder or file.
 */
export async function packGpu({
  out = join(root, 'native/build-gpu-pack'),
  node = true,
  backend = 'diffmavil-cuda',
} = {}) {
  const addon = 'native/build/Release/diffmavil.node';
  if (!existsSync(join(root, addon)))
    throw new PackError(`pack:gpu: expected ${addon}, got none. Try: npm run build:native`);
  clear(out);
  for (const file of files) if (existsSync(join(root, file))) copy(file, out);
  writeFileSync(join(out, 'package.json'), '{ "type": "module", "workspaces": [] }\n');
  for (const name of packages) await bundlePackage(name, out);
  await bundlePrograms(out);
  await bundleSpecs(backend, out);
  if (node) packNode(out);
  if (existsSync(join(root, library))) packLibrary(out, node);
  writeFileSync(join(out, 'pack.json'), `${JSON.stringify(provenance(), null, 1)}\n`);
  tryOut(out);
  return readdirSync(out).map((name) => ({ name, bytes: sizeOf(join(out, name)) }));
}

/** Empties the folder, but for what an earlier run left to be used again: Node as it is compressed, files of weights, a build. */
function clear(out) {
  mkdirSync(out, { recursive: true });
  const kept = new Set(['.cache', 'node.xz', 'node.version', 'build']);
  for (const name of readdirSync(out))
    if (!kept.has(name)) rmSync(join(out, name), { recursive: true });
}

function copy(path, out) {
  mkdirSync(dirname(join(out, path)), { recursive: true });
  cpSync(join(root, path), join(out, path), { recursive: true, preserveTimestamps: true });
}

/** A package as one file with its exports spelled out, so that modules can import them by name. */
async function bundlePackage(name, out) {
  const folder = join(out, 'node_modules', name);
  mkdirSync(folder, { recursive: true });
  await build({
    ...common,
    entryPoints: [require.resolve(name)],
    format: 'cjs',
    external: packages.filter((each) => each !== name),
    outfile: join(folder, 'package.cjs'),
  });
  const names = Object.keys(require(name)).filter(
    (each) => /^\w+$/.test(each) && each !== 'default',
  );
  const lines = names.map((each) => `exports.${each} = all.${each};`);
  const index = ["const all = require('./package.cjs');", ...lines];
  writeFileSync(join(folder, 'index.cjs'), `${index.join('\n')}\n`);
  const { version, license } = readJson(packageManifest(name));
  const manifest = { name, version, license, main: 'index.cjs' };
  writeFileSync(join(folder, 'package.json'), `${JSON.stringify(manifest, null, 1)}\n`);
}

function packageManifest(name) {
  const found = require.resolve.paths(name).map((folder) => join(folder, name, 'package.json'));
  return found.find((path) => existsSync(path));
}

/** What all bundles share. */
const common = {
  bundle: true,
  platform: 'node',
  target: 'node20',
  logLevel: 'error',
  legalComments: 'inline',
};

/** Our own code: it finds its files by `import.meta.url`, which stays what it is in the checkout. */
async function bundlePrograms(out) {
  const own = {
    name: 'own-places',
    setup(within) {
      within.onLoad({ filter: /\.[jt]s$/ }, ({ path }) => {
        const place = relative(root, path);
        if (place.includes('node_modules')) return null;
        const url = `__placeOf(${JSON.stringify(place)})`;
        const contents = readFileSync(path, 'utf8').replaceAll('import.meta.url', url);
        return { contents, loader: path.endsWith('.ts') ? 'ts' : 'js' };
      });
      // No other backend runs there.
      within.onResolve({ filter: /^@tensorflow\/tfjs-backend-wasm/ }, ({ path }) => ({
        path,
        namespace: 'none',
      }));
      within.onLoad({ filter: /.*/, namespace: 'none' }, () => ({
        contents: 'export const setWasmPaths = undefined;',
      }));
    },
  };
  await build({
    ...common,
    entryPoints: Object.fromEntries(programs.map((name) => [name, join(root, `${name}.ts`)])),
    conditions: ['diffmavil-source'],
    external: [...packages, 'jasmine-core'],
    format: 'esm',
    splitting: true,
    outdir: out,
    chunkNames: 'chunks/[name]-[hash]',
    banner: { js: placeOf },
    plugins: [own],
  });
}

/** First lines of every file: the folder is the one that holds pack.json. */
const placeOf = `import { createRequire as __createRequire } from 'node:module';
import { existsSync as __exists } from 'node:fs';
const require = __createRequire(import.meta.url);
let __root = new URL('./', import.meta.url);
while (!__exists(new URL('pack.json', __root))) __root = new URL('../', __root);
const __placeOf = (place) => new URL(place, __root).href;
`;

/** tfjs-core's specs, as conformance/tfjs bundles them. */
async function bundleSpecs(backend, out) {
  const { tsImport } = await import('tsx/esm/api');
  const script = pathToFileURL(join(root, 'conformance/tfjs/bundle-specs.ts')).href;
  const { bundleSpecs: bundle } = await tsImport(script, import.meta.url);
  copy(relative(root, await bundle(backend)), out);
}

/** 24 MB in place of 100. */
function packNode(out) {
  const file = join(out, 'node.xz');
  writeFileSync(join(out, 'node.version'), `${process.version} ${process.arch}\n`);
  if (existsSync(file) && statSync(file).mtimeMs > statSync(process.execPath).mtimeMs) return;
  compress(process.execPath, file);
}

/** Machine code for three architectures is mostly the same: a tenth is left of it. */
function packLibrary(out, small) {
  if (!small) return copy(library, out);
  mkdirSync(dirname(join(out, library)), { recursive: true });
  compress(join(root, library), `${join(out, library)}.xz`);
}

/** Python's lzma or xz unpack it. */
function compress(file, to) {
  const part = `${to}.part`;
  const { status, stderr } = spawnSync('sh', ['-c', 'xz -6 -c "$0" >"$1"', file, part], {
    encoding: 'utf8',
  });
  if (status !== 0) throw new PackError(`pack:gpu: expected xz to compress ${file}, got ${stderr}`);
  renameSync(part, to);
}

/** Whether what is packed loads: an addon or a device library of other sources would be found out only where there is no time for it. */
function tryOut(out) {
  const emulated = 'native/build-cuda/libdiffmavil_cuda_emulated.so';
  for (const path of [library, emulated].filter((each) => existsSync(join(root, each)))) {
    const env = { ...process.env, DIFFMAVIL_CUDA: 'auto', DIFFMAVIL_CUDA_PATH: join(root, path) };
    const args = [join(out, 'bench/gpu/main.js'), '--check'];
    const { status, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8', env });
    if (status === 0) continue;
    throw new PackError(
      `pack:gpu: expected the addon and ${path} to load, got: ${stderr.trim()}. Try: npm run build:native, npm run build:cuda`,
    );
  }
}

function provenance() {
  const git = (...args) => execFileSync('git', args, { cwd: root, encoding: 'utf8' }).trim();
  return {
    commit: git('rev-parse', 'HEAD'),
    dirty: git('status', '--porcelain', '--untracked-files=no') !== '',
    date: new Date().toISOString(),
    node: process.version,
  };
}

function sizeOf(path) {
  const info = statSync(path);
  if (!info.isDirectory()) return info.size;
  return readdirSync(path).reduce((sum, name) => sum + sizeOf(join(path, name)), 0);
}

const readJson = (file) => JSON.parse(readFileSync(file, 'utf8'));

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    const { values } = parseArgs({
      options: {
        out: { type: 'string' },
        backend: { type: 'string' },
        'without-node': { type: 'boolean', default: false },
      },
    });
    const { 'without-node': withoutNode, ...rest } = values;
    const parts = await packGpu({ ...rest, node: !withoutNode });
    const carried = parts.filter(({ name }) => name !== '.cache' && name !== 'build');
    const total = carried.reduce((sum, { bytes }) => sum + bytes, 0);
    const line = (name, bytes) => `${(bytes / 1e6).toFixed(1).padStart(6)} MB  ${name}\n`;
    for (const { name, bytes } of carried) process.stdout.write(line(name, bytes));
    process.stdout.write(line('in all', total));
    if (total > mostBytes)
      throw new PackError(
        `pack:gpu: expected at most ${mostBytes / 1e6} MB, got ${(total / 1e6).toFixed(1)} MB`,
      );
  } catch (error) {
    process.stderr.write(`${error instanceof PackError ? error.message : error.stack}\n`);
    process.exitCode = 1;
  }
}
