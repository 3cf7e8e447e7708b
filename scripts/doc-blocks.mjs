// SPDX-License-Identifier: Apache-2.0
// The documentation files and the fenced `ts` programs in them.
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './stage.mjs';

/**
 * Every file of the repository with one of these endings, committed or about to be; nothing that git ignores.
 * @returns {string[]} Paths relative to the repository.
 */
export function filesEnding(...endings) {
  const list = ['ls-files', '-z', '--cached', '--others', '--exclude-standard'];
  return execFileSync('git', list, { cwd: root, encoding: 'utf8', maxBuffer: 2 ** 26 })
    .split('\0')
    .filter((file) => endings.some((ending) => file.endsWith(ending)))
    .filter((file) => existsSync(join(root, file)));
}

/**
 * The fenced blocks of a markdown text whose language is ts.
 * @param {string} text
 * @returns {{line: number, tag: string, code: string}[]} `line`: of the opening fence, from 1; `tag`: all of the info string, `ts` when it runs.
 */
export function tsBlocks(text) {
  const blocks = [];
  let open = null;
  for (const [i, line] of text.split('\n').entries()) {
    const fence = /^(\s*)(`{3,})\s*(.*)$/.exec(line);
    if (open === null && fence) {
      open = { line: i + 1, fence: fence[2], tag: fence[3].trim(), lines: [] };
    } else if (open !== null && fence && fence[3] === '' && fence[2].length >= open.fence.length) {
      if (/^(ts|typescript)\b/.test(open.tag))
        blocks.push({ line: open.line, tag: open.tag, code: `${open.lines.join('\n')}\n` });
      open = null;
    } else {
      open?.lines.push(line);
    }
  }
  return blocks;
}

/** The ts blocks of a file of the repository. */
export function tsBlocksOf(file) {
  return tsBlocks(readFileSync(join(root, file), 'utf8')).map((block) => ({ file, ...block }));
}
