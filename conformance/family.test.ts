// SPDX-License-Identifier: Apache-2.0
// Parity of every variant of the model family with PyTorch: training steps, a teacher's features, classifiers (golden/README.md lists
// the cases). The native backend's turn is in native.test.ts.
import { type ModelConfig, type PartialModelConfig, defineModel } from '@diffmavil/model';
import { devices, expectNoLeak } from '@diffmavil/testkit';
import { beforeAll, describe, expect, it } from 'vitest';
import { runClassifier, runTeacher } from './family-comparison.ts';
import { expectInTable, tableCases } from './parity-table.ts';
import {
  type TraceCase,
  caseNames,
  failures,
  familyFolder,
  familyNames,
  namesIn,
  readCase,
  report,
  runCase,
} from './trace-comparison.ts';

const teachers = namesIn(familyFolder, 'teacher');
const classifiers = namesIn(familyFolder, 'classifier');

describe.each(devices)('the family on $name', (device) => {
  beforeAll(device.use);

  it.each(familyNames)('takes one training step as PyTorch does: %s', async (name) => {
    const rows = await expectNoLeak(() => runCase(readCase(name)));
    expect(report(rows)).toBe('');
    expectInTable(name, device.name, rows);
  });

  it.each(teachers)('teaches what PyTorch does: %s', async (name) => {
    const rows = await expectNoLeak(() => runTeacher(name));
    expect(report(rows)).toBe('');
    expectInTable(`teacher-${name}`, device.name, rows);
  });

  it.each(classifiers)('classifies as PyTorch does: %s', async (name) => {
    const rows = await expectNoLeak(() => runClassifier(name));
    expect(report(rows)).toBe('');
    expectInTable(`classifier-${name}`, device.name, rows);
  });
});

describe('the cases of the family', () => {
  beforeAll(devices[1]!.use);

  it('fill the table of docs/parity.md together with the cases of the paper', () => {
    const names = [
      ...caseNames,
      ...familyNames,
      ...teachers.map((name) => `teacher-${name}`),
      ...classifiers.map((name) => `classifier-${name}`),
    ];
    expect(tableCases().toSorted()).toEqual(names.toSorted());
  });

  it.each(['everything', 'cav-mae'])(
    'fail when any one kind of weight is scaled by 1.001: %s',
    async (name) => {
      const unchanged = readCase(name);
      const kinds = new Map(weightsOf(unchanged).map((w) => [w.replaceAll(/\d+/g, 'i'), w]));
      const unnoticed: string[] = [];
      for (const weight of kinds.values()) {
        const tensor = unchanged.tensors[weight];
        if (tensor?.dtype !== 'F32') throw new Error(`${weight}: expected float32`);
        const changed = { ...tensor, data: tensor.data.map((x) => x * 1.001) };
        const tensors = { ...unchanged.tensors, [weight]: changed };
        if (failures(await runCase({ ...unchanged, tensors })).length === 0) unnoticed.push(weight);
      }
      expect(kinds.size).toBeGreaterThan(60);
      expect(unnoticed).toEqual([]);
    },
  );

  const changes: [string, PartialModelConfig][] = [
    ['cav-mae', { loss: { interDirection: 'audio-to-video' } }],
    ['shared-encoder-tokens', { loss: { interDirection: 'video-to-audio' } }],
    ['cosine-window', { decoder: { shift: [2, 2] } }],
    ['cosine-window-both-axes', { decoder: { shift: [2, 0] } }],
    ['norm-epsilon', { encoder: { normEpsilon: 1e-6 } }],
    ['inpainting-self', { decoder: { context: 'fused' } }],
    ['inpainting-cross', { decoder: { context: 'fused' } }],
  ];

  it.each(changes)('tell another configuration from their own: %s, %o', async (name, change) => {
    const unchanged = readCase(name);
    const config = defineModel(merge(unchanged.config, change));
    expect(failures(await runCase({ ...unchanged, config }))).not.toEqual([]);
  });

  it('read the second view from its own order', async () => {
    const unchanged = readCase('second-view-independent');
    const order = unchanged.tensors['video.second_order'];
    if (order?.dtype !== 'I32') throw new Error('expected an int32 order');
    const reversed = { ...order, data: order.data.toReversed() };
    const tensors = { ...unchanged.tensors, 'video.second_order': reversed };
    expect(failures(await runCase({ ...unchanged, tensors }))).not.toEqual([]);
  });
});

function merge(config: ModelConfig, change: PartialModelConfig): PartialModelConfig {
  return {
    ...config,
    encoder: { ...config.encoder, ...change.encoder },
    decoder: { ...config.decoder, ...change.decoder },
    loss: { ...config.loss, ...change.loss },
  };
}

/** But for the bias that softmax does not feel. */
function weightsOf({ expected }: TraceCase): string[] {
  return expected.names.flatMap((name) =>
    name.startsWith('grad.') && !name.endsWith('bias_mlp.fc2.bias')
      ? [name.slice('grad.'.length)]
      : [],
  );
}
