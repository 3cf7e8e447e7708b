import { defineConfig } from 'vitest/config';

// Tests run from source: packages resolve to each other's src/ through this condition, so no build is stale.
const conditions = ['diffmavil-source'];

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  test: {
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 60_000,
    // No test depends on a GPU that the machine happens to have; those of the device ask for one (emulateCuda of the testkit).
    env: { DIFFMAVIL_CUDA: 'off' },
    include: [
      'packages/*/src/**/*.test.ts',
      'native/src/**/*.test.ts',
      'bench/**/*.test.ts',
      'conformance/**/*.test.ts',
      'examples/**/*.test.ts',
      'scripts/**/*.test.ts',
    ],
  },
});
