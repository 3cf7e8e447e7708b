// SPDX-License-Identifier: Apache-2.0
// Registers tfjs-core's own gradients: in Node its main file registers none (scripts/bundle-gradients.mjs makes the bundle).
// tfjs-core first: the bundle carries a copy of its own, and whichever comes first gives tensors their class; the copy's has no ops.
import '@tensorflow/tfjs-core';
import '../generated/tfjs-gradients.js';
