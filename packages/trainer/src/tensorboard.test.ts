// SPDX-License-Identifier: Apache-2.0
import { mkdtempSync, readFileSync, readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { crc32c, createEventFile } from './tensorboard.ts';

it('computes CRC-32C', () => {
  // The check value of CRC-32C, and a vector of RFC 3720 appendix B.4 (32 bytes of zeros).
  expect(crc32c(new TextEncoder().encode('123456789'))).toBe(0xe3069283);
  expect(crc32c(new Uint8Array(32))).toBe(0x8a9136aa);
});

it('writes the bytes TensorBoard reads', () => {
  const folder = mkdtempSync(join(tmpdir(), 'events-'));
  const write = createEventFile(folder, 1000.5);
  write(3, 1001, { loss: 0.5 });
  const [name] = readdirSync(folder);
  expect(name).toMatch(/^events\.out\.tfevents\.1000\.diffmavil\.\d+$/);
  // tensorboard 2.21's EventFileLoader read this file as step 3, tag loss, simple_value 0.5; its bytes, by the record format.
  expect(readFileSync(join(folder, name!)).toString('hex')).toBe(
    '1800000000000000a37f4b22090000000000448f401a0d627261696e2e4576656e743a32aba333451a' +
      '00000000000000129bd82d090000000000488f4010032a0d0a0b0a046c6f7373150000003ff86c2f3a',
  );
});
