// SPDX-License-Identifier: Apache-2.0
// `--config` and `--set`: a preset's name or a JSON file, then single values changed by their path.
import { existsSync, readFileSync } from 'node:fs';
import { ConfigError } from '@diffmavil/core';
import { presetMasking, presets } from '@diffmavil/model';
import { closestName } from '../closest-name.ts';
import { UsageError } from './command.ts';

type Json = Record<string, unknown>;

/**
 * Reads a configuration.
 * @param source A JSON file, or one of `named` (name -> partial configuration).
 * @throws ConfigError when there is no such file or name, or the file is not JSON.
 */
export function readConfig(source: string, named: Readonly<Record<string, Json>>): Json {
  if (Object.hasOwn(named, source)) return structuredClone(named[source]!);
  if (!existsSync(source)) {
    const near = closestName(source, Object.keys(named));
    throw new ConfigError(
      `config: expected a JSON file or one of ${Object.keys(named).join(', ')}, got ${source}${near === null ? '' : `. Try: ${near}`}`,
    );
  }
  try {
    return JSON.parse(readFileSync(source, 'utf8')) as Json;
  } catch (error) {
    throw new ConfigError(
      `${source}: expected a JSON configuration, got ${(error as Error).message}`,
    );
  }
}

/** Model presets as run configurations, with the masking each is pre-trained with. */
export function runPresets(): Record<string, Json> {
  return Object.fromEntries(
    Object.entries(presetMasking).map(([name, { curriculum, epochs, adaptiveBatch }]) => [
      name,
      { model: name, masking: curriculum, epochs, batch: { size: 16, adaptive: adaptiveBatch } },
    ]),
  );
}

/** Sections whose other fields depend on their `kind`: a new kind starts them anew. */
const kindSections = new Set(['masked', 'targets', 'masking']);

/**
 * Applies `key.path=value` settings in place and returns the configuration. Values are JSON, or text where they are not.
 * A `model` given by name becomes its full configuration first when a field below it is set.
 */
export function applySettings(config: Json, settings: readonly string[]): Json {
  for (const setting of settings) {
    const at = setting.indexOf('=');
    if (at < 1) throw new UsageError(`expected --set key=value, got '${setting}'`);
    const path = setting.slice(0, at).split('.');
    let node = config;
    for (const step of path.slice(0, -1)) {
      if (step === 'model' && typeof node[step] === 'string') node[step] = modelOf(node[step]);
      if (typeof node[step] !== 'object' || node[step] === null) node[step] = {};
      node = node[step] as Json;
    }
    if (path.at(-1) === 'kind' && kindSections.has(path.at(-2) ?? '')) {
      for (const key of Object.keys(node)) delete node[key];
    }
    node[path.at(-1)!] = parseValue(setting.slice(at + 1));
  }
  return config;
}

function modelOf(name: string): Json {
  const preset = (presets as Readonly<Record<string, unknown>>)[name];
  return structuredClone((preset ?? {}) as Json);
}

function parseValue(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text;
  }
}
