// SPDX-License-Identifier: Apache-2.0
// Registers tfjs-core's own gradients: in Node its main file registers none (scripts/bundle-gradients.mjs makes the bundle).
import '../generated/tfjs-gradients.js';
