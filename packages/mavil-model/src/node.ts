// SPDX-License-Identifier: Apache-2.0
// The part of this package that reads and writes files: model folders, other projects' weights, DiffMavil.fromPretrained.
export { convertWeights, readForeignFile } from './node/foreign-file.ts';
export type { ConvertRequest } from './node/foreign-file.ts';
export { loadModelFolder, saveModelFolder } from './node/model-folder.ts';
export type { ModelFolder } from './node/model-folder.ts';
export { DiffMavil } from './node/pretrained.ts';
