// SPDX-License-Identifier: Apache-2.0
// The part of this package that reads and writes files: model folders, and DiffMavil.fromPretrained.
export { loadModelFolder, saveModelFolder } from './node/model-folder.ts';
export type { ModelFolder } from './node/model-folder.ts';
export { DiffMavil } from './node/pretrained.ts';
