// SPDX-License-Identifier: Apache-2.0
// What the tests of this repository share. Imports no other package of it, so that every package can use it.
export { expectClose, type Numbers, type Tolerance } from './close.ts';
export { devices, type Device } from './devices.ts';
export { emulateCuda } from './emulated-cuda.ts';
export { finiteDifference, type FiniteDifferenceOptions } from './finite-difference.ts';
export { readFixture, readJsonFixture, type Fixture, type FixtureTensor } from './fixture.ts';
export { expectNoLeak } from './leak.ts';
export { savedBytes } from './saved-bytes.ts';
