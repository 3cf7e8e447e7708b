// SPDX-License-Identifier: Apache-2.0
// What holds for the repository as a whole: links lead somewhere, the paper map names real files, nothing tells whose machine it was
// written on, and the lock file installs anywhere.
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { describe, expect, it } from 'vitest';
import { filesEnding } from './doc-blocks.mjs';
import { publicPackages } from './packages.mjs';
import { root } from './stage.mjs';

const read = (file: string): string => readFileSync(join(root, file), 'utf8');
const markdown: string[] = filesEnding('.md');

/** Text without fenced blocks and inline code, which may show link syntax. */
const prose = (text: string): string =>
  text.replaceAll(/^(`{3,}).*\n[\s\S]*?^\1\s*$/gm, '').replaceAll(/`[^`\n]*`/g, '');

/** GitHub's anchors of the headings of a markdown text. */
function anchors(text: string): Set<string> {
  const headings = [...text.matchAll(/^#{1,6} +(.+)$/gm)].map((match) => match[1] ?? '');
  return new Set(
    headings.map((heading) =>
      heading
        .toLowerCase()
        .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
        .trim()
        .replaceAll(' ', '-'),
    ),
  );
}

describe('documentation', () => {
  it('has relative links that lead to files and headings of the repository', () => {
    const broken = markdown.flatMap((file) =>
      [...prose(read(file)).matchAll(/\]\(([^)\s]+)(?: "[^"]*")?\)/g)]
        .map((match) => match[1] ?? '')
        .filter((target) => !/^[a-z]+:/.test(target))
        .filter((target) => {
          const [path = '', anchor] = target.split('#');
          const linked = path === '' ? file : normalize(join(dirname(file), path));
          if (linked.startsWith('..') || !existsSync(join(root, linked))) return true;
          return (
            anchor !== undefined && linked.endsWith('.md') && !anchors(read(linked)).has(anchor)
          );
        })
        .map((target) => `${file}: ${target}`),
    );
    expect(broken).toEqual([]);
  });

  it('has a paper map that names files which exist', () => {
    const paths = [...read('docs/paper-map.md').matchAll(/`([\w.-]+(?:\/[\w.-]+)+\.\w+)`/g)].map(
      (match) => match[1] ?? '',
    );
    expect(paths.length).toBeGreaterThan(10);
    const missing = paths.filter(
      (path) => !['', 'docs', 'packages'].some((start) => existsSync(join(root, start, path))),
    );
    expect(missing).toEqual([]);
  });
});

describe('sources', () => {
  it('mention no path of the machine they were written on', () => {
    const machinePath = new RegExp(
      ['work', 'home/\\w+', 'Users/\\w+', 'root']
        .map((start) => `(?<![\\w./*-])/${start}/`)
        .join('|'),
    );
    const found = filesEnding('.md', '.ts', '.mjs', '.js', '.py', '.sh', '.json', '.cc', '.h')
      .filter((file) => file !== 'scripts/repository.test.ts')
      .filter((file) => machinePath.test(read(file)));
    expect(found).toEqual([]);
  });

  it('do not ask for tests to be left out', () => {
    const found = filesEnding('.test.ts')
      .filter((file) => file !== 'scripts/repository.test.ts')
      .filter((file) => /\b(?:it|describe|test)\.only\b/.test(read(file)));
    expect(found).toEqual([]);
  });
});

describe('published packages', () => {
  it('each carry the licence: npm packs a file of this name without being asked', () => {
    const folders: string[] = publicPackages();
    expect(folders).toContain('native');
    const without = folders.filter(
      (folder) =>
        !existsSync(join(root, folder, 'LICENSE')) || read(`${folder}/LICENSE`) !== read('LICENSE'),
    );
    expect(without).toEqual([]);
  });
});

describe('package-lock.json', () => {
  const { packages } = JSON.parse(read('package-lock.json')) as {
    packages: Record<string, Entry>;
  };
  interface Entry {
    resolved?: string;
    optionalDependencies?: Record<string, string>;
  }

  it('names no registry', () => {
    const found = Object.entries(packages)
      .filter(([, { resolved }]) => resolved?.includes('://'))
      .map(([path]) => path);
    expect(found).toEqual([]);
  });

  it('holds every optional package, those of other machines too: npm ci fails without', () => {
    const absent = Object.entries(packages).flatMap(([path, { optionalDependencies = {} }]) =>
      Object.keys(optionalDependencies).filter((name) => {
        const folders = path.split('/node_modules/').map((_, i, parts) => parts.slice(0, i + 1));
        const places = folders.map(
          (parts) => `${parts.join('/node_modules/')}/node_modules/${name}`,
        );
        return ![...places, `node_modules/${name}`].some((place) => place in packages);
      }),
    );
    expect(absent).toEqual([]);
  });
});
