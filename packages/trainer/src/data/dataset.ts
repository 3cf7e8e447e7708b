// SPDX-License-Identifier: Apache-2.0
// What a data set is to the trainer: a list of clips with optional labels and splits, read from a folder of clips, a CSV or a JSONL
// manifest. Only names are read here; media are opened by the loader, so a broken file is found (and named) when it is needed.
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs';
import { basename, dirname, extname, isAbsolute, join, relative, resolve } from 'node:path';
import { parse } from 'csv-parse/sync';
import { ConfigError } from '@diffmavil/core';

/** One clip of a data set. */
export interface ClipEntry {
  /** Name within the data set: the path as the manifest or the folder gives it, `/`-separated. Keys every random draw of the clip. */
  readonly id: string;
  /** Absolute path of the media file. */
  readonly path: string;
  /** Class names; empty without labels, several for multi-label data. */
  readonly labels: readonly string[];
  /** Value of the split column, or null. */
  readonly split: string | null;
}

export interface Dataset {
  readonly source: string;
  readonly clips: readonly ClipEntry[];
  /** Sorted distinct class names. */
  readonly labels: readonly string[];
  /** SHA-256 over ids, labels and splits: a checkpoint refuses to continue on another data set. */
  readonly hash: string;
}

/** Which manifest columns mean what. */
export interface DatasetColumns {
  /** Column holding the class, or several separated by `;`; null or absent: `label`, where there is one. */
  readonly labelColumn?: string | null;
  /** Column holding the split. Default `split`. */
  readonly splitColumn?: string;
}

const mediaExtensions = new Set(
  '.mp4 .m4v .mov .mkv .webm .avi .ogv .ogg .3gp .mpg .mpeg .ts .flv .wmv .wav .mp3 .m4a .flac .opus'.split(
    ' ',
  ),
);
const fileColumns = ['file', 'filename', 'path', 'video', 'audio', 'clip'];

/**
 * Reads a data set.
 * @param source A folder of clips (searched recursively; a sub-folder's name is its clips' label), or a manifest: `.csv` with a header row,
 *   `.jsonl` with one object a line. A folder that holds `labels.csv`, or has `<folder>.csv` beside it, is read through that manifest.
 *   Relative paths of a manifest are looked up in its folder, then in the folder of the manifest's own name.
 * @throws ConfigError when nothing is there, a column is missing, or no clip is found.
 */
export function readDataset(source: string, columns: DatasetColumns = {}): Dataset {
  const where = 'data';
  if (!existsSync(source)) {
    throw new ConfigError(
      `${where}: expected a folder of clips or a .csv or .jsonl manifest, got ${source}, which does not exist`,
    );
  }
  const manifest = statSync(source).isDirectory() ? manifestOf(source) : source;
  const clips = manifest === null ? readFolder(source) : readManifest(manifest, columns);
  if (clips.length === 0) {
    throw new ConfigError(
      `${where}: expected at least one clip in ${source}, got none. Try: diffmavil demo-data --out ${source}`,
    );
  }
  const labels = [...new Set(clips.flatMap((clip) => clip.labels))].sort();
  const hash = createHash('sha256');
  for (const clip of clips) hash.update(JSON.stringify([clip.id, clip.labels, clip.split]));
  return { source: resolve(source), clips, labels, hash: hash.digest('hex') };
}

/** The clips of the named splits; all clips when `splits` is null. Throws ConfigError when none is left. */
export function clipsOfSplits(dataset: Dataset, splits: readonly string[] | null): ClipEntry[] {
  if (splits === null) return [...dataset.clips];
  const wanted = new Set(splits);
  const clips = dataset.clips.filter((clip) => clip.split !== null && wanted.has(clip.split));
  if (clips.length === 0) {
    const found = [...new Set(dataset.clips.map((clip) => clip.split ?? '(none)'))]
      .sort()
      .join(', ');
    throw new ConfigError(
      `data: expected clips of split ${splits.join(' or ')} in ${dataset.source}, got the splits ${found}`,
    );
  }
  return clips;
}

/** The clips of a data source, of the splits named. */
export function dataClips(
  source: DatasetColumns & { readonly data: string; readonly splits: readonly string[] | null },
): ClipEntry[] {
  return clipsOfSplits(readDataset(source.data, source), source.splits);
}

function manifestOf(folder: string): string | null {
  const candidates = [join(folder, 'labels.csv'), `${folder.replace(/\/+$/, '')}.csv`];
  return candidates.find((candidate) => existsSync(candidate)) ?? null;
}

function readFolder(folder: string): ClipEntry[] {
  const paths = readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((item) => item.isFile() && mediaExtensions.has(extname(item.name).toLowerCase()))
    .map((item) => join(item.parentPath, item.name));
  return paths.sort().map((path) => {
    const id = relative(folder, path).replaceAll('\\', '/');
    const parent = dirname(id);
    return {
      id,
      path: resolve(path),
      labels: parent === '.' ? [] : [basename(parent)],
      split: null,
    };
  });
}

type Row = Readonly<Record<string, unknown>>;

function readManifest(
  manifest: string,
  { labelColumn = null, splitColumn = 'split' }: DatasetColumns,
): ClipEntry[] {
  const rows = extname(manifest) === '.jsonl' ? readJsonl(manifest) : readCsv(manifest);
  const first = rows[0];
  if (first === undefined) return [];
  const fileColumn = fileColumns.find((name) => name in first);
  const has = Object.keys(first).join(', ');
  if (fileColumn === undefined) {
    throw new ConfigError(
      `${manifest}: expected a column named ${fileColumns.join(' or ')}, got the columns ${has}`,
    );
  }
  if (labelColumn !== null && !(labelColumn in first)) {
    throw new ConfigError(
      `${manifest}: expected the label column '${labelColumn}', got the columns ${has}`,
    );
  }
  return rows.map((row) => {
    const id = text(row[fileColumn]);
    return {
      id,
      path: locate(manifest, id),
      labels: labelsOf(row[labelColumn ?? 'label']),
      split: row[splitColumn] === undefined ? null : text(row[splitColumn]),
    };
  });
}

function locate(manifest: string, id: string): string {
  if (isAbsolute(id)) return id;
  const beside = resolve(dirname(manifest), id);
  const inside = resolve(dirname(manifest), basename(manifest, extname(manifest)), id);
  return !existsSync(beside) && existsSync(inside) ? inside : beside;
}

function readCsv(manifest: string): Row[] {
  try {
    return parse(readFileSync(manifest, 'utf8'), {
      columns: true,
      skip_empty_lines: true,
      trim: true,
      bom: true,
    });
  } catch (error) {
    throw new ConfigError(
      `${manifest}: expected comma-separated rows under a header, got ${(error as Error).message}`,
    );
  }
}

function readJsonl(manifest: string): Row[] {
  const lines = readFileSync(manifest, 'utf8').split('\n');
  return lines.flatMap((line, index) => {
    if (line.trim() === '') return [];
    try {
      return [JSON.parse(line) as Row];
    } catch {
      throw new ConfigError(
        `${manifest}: expected one JSON object a line, got line ${index + 1}: ${line.slice(0, 60)}`,
      );
    }
  });
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value ?? '');
}

function labelsOf(value: unknown): string[] {
  if (value === undefined || value === null || value === '') return [];
  if (Array.isArray(value)) return value.map(text);
  return text(value)
    .split(';')
    .map((label) => label.trim());
}
