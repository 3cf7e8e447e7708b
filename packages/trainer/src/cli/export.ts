// SPDX-License-Identifier: Apache-2.0
// `diffmavil export`: a trained encoder for other programs, as ONNX or under Hugging Face's names.
import { existsSync, readdirSync } from 'node:fs';
import { CheckpointError, disposeTree } from '@diffmavil/core';
import { toHuggingFace, writeSafetensors } from '@diffmavil/model';
import { type ModelFolder, loadModelFolder } from '@diffmavil/model/node';
import { type OnnxExport, type OnnxModality, exportOnnx } from '@diffmavil/model/onnx';
import { writeFileAtomically, writeFolderAtomically } from '../atomic-folder.ts';
import { modelFolderOf } from '../run-folder.ts';
import { choiceOption, parseArguments, required } from './arguments.ts';
import { useBackend } from './backend.ts';
import { type Command, UsageError } from './command.ts';

const formats = ['onnx', 'hf-vitmae', 'hf-videomae'] as const;
const modalities: readonly OnnxModality[] = ['audio', 'video', 'av'];
type Format = (typeof formats)[number];

/** What was written, for `--json`. */
interface Summary {
  readonly out: string;
  readonly format: Format;
  readonly sizeBytes: number;
  readonly modality?: OnnxModality;
  readonly opset?: number;
  readonly inputs?: OnnxExport['inputs'];
  readonly outputs?: OnnxExport['outputs'];
}

export const command: Command = {
  name: 'export',
  summary: 'write an encoder as ONNX, or under Hugging Face names',
  usage: `diffmavil export --model RUN|FOLDER --out FILE.onnx [--modality audio|video|av] [--head] [--json]
diffmavil export --model RUN|FOLDER --out FOLDER --format hf-vitmae|hf-videomae [--modality audio|video] [--json]

  --model     a run, or its model folder
  --out       onnx: the file to write; hf-vitmae, hf-videomae: a folder for config.json and model.safetensors
  --format    ${formats.join(', ')}; default onnx
  --modality  whose encoder; onnx: default what the only head reads (with --head), else all that the model has; av is both in one graph
  --head      onnx: the classification head too, as the output logits
  --json      what was written: out, format, sizeBytes; onnx: modality, opset, inputs and outputs with their shapes

An ONNX graph takes the patches of unmasked clips, any number at once, and gives the mean-pooled embedding (docs/export.md).`,
  async run(args, context) {
    const { options } = parseArguments(args, {
      model: 'string',
      out: 'string',
      format: 'string',
      modality: 'string',
      head: 'boolean',
      json: 'boolean',
    });
    const folder = modelFolderOf(required(options.model, 'model'));
    const out = required(options.out, 'out');
    const format = choiceOption(options.format, 'format', formats, 'onnx');
    const modality =
      options.modality === undefined
        ? undefined
        : choiceOption(options.modality, 'modality', modalities, 'audio');
    if (format !== 'onnx' && (options.head || modality === 'av')) {
      throw new UsageError(
        `expected --format onnx with --${options.head ? 'head' : 'modality av'}, got ${format}`,
      );
    }
    // Weights pass through tensors, nothing is computed: any backend will do.
    await useBackend('cpu');
    const model = await loadModelFolder(folder);
    try {
      const summary =
        format === 'onnx'
          ? await writeOnnx(model, out, modality, options.head)
          : await writeHuggingFace(model, out, format, modality === 'av' ? undefined : modality);
      context.stdout(options.json ? JSON.stringify(summary) : describe(summary));
    } finally {
      disposeTree(model.parameters);
    }
    return 0;
  },
};

async function writeOnnx(
  model: ModelFolder,
  out: string,
  modality: OnnxModality | undefined,
  head: boolean,
): Promise<Summary> {
  const { bytes, ...about } = await exportOnnx(model, { head, ...(modality && { modality }) });
  writeFileAtomically(out, bytes);
  return { out, format: 'onnx', sizeBytes: bytes.length, ...about };
}

async function writeHuggingFace(
  { config, parameters }: ModelFolder,
  out: string,
  format: Exclude<Format, 'onnx'>,
  modality: 'audio' | 'video' | undefined,
): Promise<Summary> {
  const files = ['config.json', 'model.safetensors'] as const;
  const strangers = existsSync(out)
    ? readdirSync(out).filter((name) => !(files as readonly string[]).includes(name))
    : [];
  if (strangers.length > 0) {
    throw new CheckpointError(
      `export: expected an empty or a new folder, got ${out} with ${strangers[0]} in it`,
    );
  }
  const weights = Object.entries(parameters).map(
    ([name, tensor]) =>
      [name, { shape: tensor.shape, data: tensor.dataSync<'float32'>() }] as const,
  );
  const options = { format, ...(modality && { modality }) };
  const made = toHuggingFace(config, Object.fromEntries(weights), options);
  const bytes = writeSafetensors(made.tensors, { format: 'pt' });
  writeFolderAtomically(out, {
    [files[0]]: `${JSON.stringify(made.config, null, 2)}\n`,
    [files[1]]: bytes,
  });
  return { out, format, sizeBytes: bytes.length };
}

function describe({ out, format, sizeBytes, inputs, outputs }: Summary): string {
  const size = `${(sizeBytes / 2 ** 20).toFixed(1)} MiB`;
  if (inputs === undefined) return `${out}: ${format}, ${size}`;
  const shown = (shapes: Readonly<Record<string, readonly (number | string)[]>>): string =>
    Object.entries(shapes)
      .map(([name, shape]) => `${name} [${shape.join(', ')}]`)
      .join(', ');
  return `${out}: ${format}, ${size}; ${shown(inputs)} -> ${shown(outputs ?? {})}`;
}
