// SPDX-License-Identifier: Apache-2.0
// A model's encoder, and its classification head if asked for, as an ONNX file for other runtimes.
import { CheckpointError, ConfigError } from '@diffmavil/core';

import { modalities, patchValues, tokenCount } from '../config.ts';
import type { Modality, ModelConfig } from '../config.ts';
import type { Parameters } from '../parameters.ts';
import type { Preprocessor } from '../preprocessor.ts';
import { layerNorm, linear } from './blocks.ts';
import { encoderBlocks, encoderNorm, pooled, pooledForBoth, pooledForHead } from './encoder.ts';
import { fuse, unimodal } from './fusion.ts';
import { graphBuilder } from './graph.ts';
import type { GraphBuilder, HostWeight, Value } from './graph.ts';
import { writeModel } from './messages.ts';
import type { Dimension, Graph, ValueInfo } from './messages.ts';

/** The encoder of sound, that of video, or both in one graph. */
export type OnnxModality = Modality | 'av';

export interface OnnxOptions {
  /** Default: what the model's only head reads, with `head`; else the modality that it has, 'av' when it has both. */
  readonly modality?: OnnxModality;
  /** Whether the classification head is part of the graph, with the output `logits`. Default false. */
  readonly head?: boolean;
}

export interface OnnxModel {
  readonly config: ModelConfig;
  /** Read, not disposed. */
  readonly parameters: Parameters;
  readonly preprocessor: Preprocessor;
}

/** An exported model: the file, and what the graph takes and gives. */
export interface OnnxExport {
  /** Content of the .onnx file. */
  readonly bytes: Uint8Array;
  readonly modality: OnnxModality;
  /** Version of ONNX's operators, 17. */
  readonly opset: number;
  /** Shapes by name; 'batch' is known at run time only. */
  readonly inputs: Readonly<Record<string, readonly Dimension[]>>;
  readonly outputs: Readonly<Record<string, readonly Dimension[]>>;
}

/** The oldest operator set that has LayerNormalization. */
const opset = 17;
/** A protobuf message has at most 2 GiB; the graph itself needs little of it. */
const largestBytes = 2 ** 31 - 2 ** 24;

/**
 * The encoder over unmasked clips as ONNX, operator set 17: weights inside, batch size free.
 *
 * Input `patches` [batch, tokens, patchValues], as `clipAudioPatches` and `clipVideoPatches` make them. Output `embedding`
 * [batch, width], as `embedAudio` and `embedVideo`; with `head` also `logits` [batch, classes]. With modality 'av' patches and
 * embeddings are those of `audio_` and `video_`, and the logits those of the head over both, after fusion. Metadata: `modality`,
 * `config`, `preprocessor` (both JSON) and, if there are any, `labels` (JSON) and `task`.
 *
 * @throws ConfigError for a modality that the model lacks or weights beyond 2 GiB, CheckpointError for a head or weight that is missing.
 */
export async function exportOnnx(model: OnnxModel, options: OnnxOptions = {}): Promise<OnnxExport> {
  const { config, preprocessor } = model;
  const modality = modalityOf(model, options);
  const head = options.head === true ? headOf(model, modality) : null;
  const g = graphBuilder(await hostWeights(model.parameters));
  if (modality === 'av') bothGraph(g, config, head);
  else oneGraph(g, config, modality, head);
  const graph = g.build(`diffmavil_${modality}`);
  checkSize(graph);
  const metadata = {
    modality,
    config: JSON.stringify(config),
    preprocessor: JSON.stringify(preprocessor),
    ...(preprocessor.labels && { labels: JSON.stringify(preprocessor.labels) }),
    ...(preprocessor.task && { task: preprocessor.task }),
  };
  return {
    bytes: writeModel({ graph, producer: 'diffmavil', opset, metadata }),
    modality,
    opset,
    inputs: shapesOf(graph.inputs),
    outputs: shapesOf(graph.outputs),
  };
}

/** A head's name, and how many classes it tells apart. */
interface Head {
  readonly name: string;
  readonly classes: number;
}

function oneGraph(g: GraphBuilder, config: ModelConfig, m: Modality, head: Head | null): void {
  const tokens = encoderBlocks(g, config, m, patchInput(g, config, m, 'patches'));
  const encoded = encoderNorm(g, config, m, tokens);
  const embedding = pooled(g, config, m, unimodal(g, config, m, encoded));
  g.output('embedding', embedding, ['batch', config.encoder.width]);
  if (head === null) return;
  const read = config.classifier.finalNorm ? encoded : tokens;
  addHead(g, config, head, pooledForHead(g, config, m, read));
}

function bothGraph(g: GraphBuilder, config: ModelConfig, head: Head | null): void {
  const encode = (m: Modality): Value => {
    const patches = patchInput(g, config, m, `${m}_patches`);
    const encoded = encoderNorm(g, config, m, encoderBlocks(g, config, m, patches));
    const embedding = pooled(g, config, m, unimodal(g, config, m, encoded));
    g.output(`${m}_embedding`, embedding, ['batch', config.encoder.width]);
    return encoded;
  };
  const encoded = { audio: encode('audio'), video: encode('video') };
  if (head === null) return;
  const fused = fuse(g, config, encoded);
  addHead(g, config, head, pooledForBoth(g, config, fused));
}

function patchInput(g: GraphBuilder, config: ModelConfig, m: Modality, name: string): Value {
  return g.input(name, ['batch', tokenCount(config, m), patchValues(config, m)]);
}

function addHead(g: GraphBuilder, config: ModelConfig, head: Head, mean: Value): void {
  const normed = layerNorm(g, `${head.name}.norm`, mean, config.encoder.normEpsilon);
  g.output('logits', linear(g, `${head.name}.linear`, normed), ['batch', head.classes]);
}

/** What is asked for if the model has it; else what its only head reads, or all that it has encoders of. */
function modalityOf({ config, parameters }: OnnxModel, options: OnnxOptions): OnnxModality {
  // A classifier of one modality carries no encoder of the other.
  const encoders = modalities(config).filter(
    (m) => `${m}_encoder.patch_embed.weight` in parameters,
  );
  const [first = 'audio', ...others] = encoders;
  const had: OnnxModality = others.length > 0 ? 'av' : first;
  const { modality: asked, head } = options;
  if (asked === undefined) {
    const [read, ...more] = headsIn(parameters);
    return head === true && read !== undefined && more.length === 0 ? read : had;
  }
  if (asked === had || had === 'av') return asked;
  throw new ConfigError(
    `exportOnnx: expected modality '${had}', as the model has no other, got '${asked}'`,
  );
}

/** What the model's classification heads read. */
function headsIn(parameters: Parameters): OnnxModality[] {
  const readers = ['audio', 'video', 'av'] as const;
  return readers.filter((m) => `${m}_head.linear.weight` in parameters);
}

function headOf({ parameters }: OnnxModel, modality: OnnxModality): Head {
  const name = `${modality}_head`;
  const classes = parameters[`${name}.linear.weight`]?.shape[0];
  if (classes !== undefined) return { name, classes };
  const present = headsIn(parameters).map((m) => `${m}_head`);
  const got = present.length === 0 ? 'none' : present.join(' and ');
  throw new CheckpointError(
    `exportOnnx: expected the classification head ${name}, got ${got}. ` +
      (present.length === 0
        ? 'Try: fine-tune the model first, or export without the head'
        : 'Try: its modality'),
  );
}

/** Every weight on the host. */
async function hostWeights(parameters: Parameters): Promise<Record<string, HostWeight>> {
  const read = Object.entries(parameters).map(
    async ([name, tensor]): Promise<[string, HostWeight]> => [
      name,
      { shape: tensor.shape, data: await tensor.data<'float32'>() },
    ],
  );
  return Object.fromEntries(await Promise.all(read));
}

function checkSize({ initializers }: Graph): void {
  const bytes = initializers.reduce((sum, { data }) => sum + data.byteLength, 0);
  if (bytes <= largestBytes) return;
  throw new ConfigError(
    `exportOnnx: expected weights of at most 2 GiB, which is all an ONNX file can hold, got ${(bytes / 2 ** 30).toFixed(1)} GiB`,
  );
}

function shapesOf(infos: readonly ValueInfo[]): Record<string, readonly Dimension[]> {
  return Object.fromEntries(infos.map(({ name, shape }) => [name, shape]));
}
