// SPDX-License-Identifier: Apache-2.0
// @diffmavil/model/onnx: models for other runtimes. Apart from the rest, as only those who export need a protobuf writer.
export { exportOnnx } from './onnx/export-onnx.ts';
export type { OnnxExport, OnnxModality, OnnxModel, OnnxOptions } from './onnx/export-onnx.ts';
export type { Dimension } from './onnx/messages.ts';
