// SPDX-License-Identifier: Apache-2.0
// On the emulated device, or on the GPU whose library DIFFMAVIL_CUDA_PATH names.
import { cudaBackendName, findCuda, registerCuda } from '@diffmavil/native';
import { emulateCuda } from '@diffmavil/testkit';
import { describeSpecs } from './spec-suite.ts';

emulateCuda();
const noDevice = findCuda().devices === 0;

describeSpecs({
  name: cudaBackendName,
  register: registerCuda,
  missing: noDevice ? 'the emulated device is not built' : null,
});
