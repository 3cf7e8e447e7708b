// SPDX-License-Identifier: Apache-2.0
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { clipsOfSplits, readDataset } from './dataset.ts';

/** A folder with the given files. */
function folderOf(files: Record<string, string>): string {
  const folder = mkdtempSync(join(tmpdir(), 'dataset-'));
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), content);
  }
  return folder;
}

describe('readDataset', () => {
  it('finds clips in sub-folders and takes their name as the label', () => {
    const folder = folderOf({ 'dog/b.mp4': '', 'cat/a.webm': '', 'top.wav': '', 'notes.txt': '' });
    const { clips, labels } = readDataset(folder);
    expect(clips.map(({ id, labels }) => [id, ...labels])).toEqual([
      ['cat/a.webm', 'cat'],
      ['dog/b.mp4', 'dog'],
      ['top.wav'],
    ]);
    expect(labels).toEqual(['cat', 'dog']);
  });

  it('reads a folder through its labels.csv', () => {
    const folder = folderOf({
      'labels.csv': 'file,label,split\na.mp4,bell,train\nb.mp4,"drum; bell",test\n',
      'a.mp4': '',
      'b.mp4': '',
    });
    const dataset = readDataset(folder);
    expect(dataset.clips.map(({ labels, split }) => [labels, split])).toEqual([
      [['bell'], 'train'],
      [['drum', 'bell'], 'test'],
    ]);
    expect(clipsOfSplits(dataset, ['test']).map(({ id }) => id)).toEqual(['b.mp4']);
  });

  it('reads a folder through the manifest of its name beside it, with a named label column', () => {
    const parent = folderOf({
      'grid.csv': 'file,colour,split\nx.mp4,blue,train\n',
      'grid/x.mp4': '',
    });
    const dataset = readDataset(join(parent, 'grid'), { labelColumn: 'colour' });
    expect(dataset.clips[0]).toMatchObject({
      id: 'x.mp4',
      path: join(parent, 'grid/x.mp4'),
      labels: ['blue'],
      split: 'train',
    });
  });

  it('reads JSONL with lists of labels', () => {
    const folder = folderOf({
      'm.jsonl': '{"path":"a.mp4","label":["x","y"]}\n\n{"path":"b.mp4"}\n',
    });
    expect(readDataset(join(folder, 'm.jsonl')).clips.map(({ labels }) => labels)).toEqual([
      ['x', 'y'],
      [],
    ]);
  });

  it('hashes names, labels and splits', () => {
    const hashOf = (csv: string): string =>
      readDataset(join(folderOf({ 'm.csv': csv }), 'm.csv')).hash;
    expect(hashOf('file,label\na.mp4,x\n')).toBe(hashOf('file,label\na.mp4,x\n'));
    expect(hashOf('file,label\na.mp4,y\n')).not.toBe(hashOf('file,label\na.mp4,x\n'));
  });

  it('says in one sentence what is wrong', () => {
    const folder = folderOf({
      'bad.jsonl': '{"path":\n',
      'x.csv': 'name,label\na,b\n',
      'y.csv': 'file,class\na,b\n',
    });
    mkdirSync(join(folder, 'empty'));
    const empty = join(folder, 'empty');
    const cases: [() => unknown, string][] = [
      [
        () => readDataset('/none'),
        'data: expected a folder of clips or a .csv or .jsonl manifest, got /none, which does not exist',
      ],
      [
        () => readDataset(empty),
        `data: expected at least one clip in ${empty}, got none. Try: diffmavil demo-data --out ${empty}`,
      ],
      [
        () => readDataset(join(folder, 'bad.jsonl')),
        `${join(folder, 'bad.jsonl')}: expected one JSON object a line, got line 1: {"path":`,
      ],
      [
        () => readDataset(join(folder, 'x.csv')),
        `${join(folder, 'x.csv')}: expected a column named file or filename or path or video or audio or clip, got the columns name, label`,
      ],
      [
        () => readDataset(join(folder, 'y.csv'), { labelColumn: 'label' }),
        `${join(folder, 'y.csv')}: expected the label column 'label', got the columns file, class`,
      ],
    ];
    for (const [read, message] of cases)
      expect(read).toThrow(expect.objectContaining({ kind: 'Config', message }));
  });

  it('names the splits there are when the wanted one is missing', () => {
    const file = join(folderOf({ 'm.csv': 'file,split\na.mp4,train\nb.mp4,dev\n' }), 'm.csv');
    expect(() => clipsOfSplits(readDataset(file), ['test'])).toThrow(
      expect.objectContaining({
        message: `data: expected clips of split test in ${file}, got the splits dev, train`,
      }),
    );
  });
});
