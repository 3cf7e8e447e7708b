// SPDX-License-Identifier: Apache-2.0
// Runs a bundle of jasmine specs inside another test runner: jasmine's names are global only while the specs are declared and run.
import { createRequire } from 'node:module';

/** One spec's outcome. */
export interface SpecResult {
  readonly fullName: string;
  readonly status: 'passed' | 'failed' | 'pending' | 'excluded';
  readonly failedExpectations: readonly { readonly message: string }[];
}

interface JasmineEnvironment {
  configure(options: {
    readonly random: boolean;
    readonly specFilter?: (spec: { getFullName(): string }) => boolean;
  }): void;
  addReporter(reporter: { readonly specDone: (result: SpecResult) => void }): void;
  execute(): Promise<{ readonly overallStatus: string }>;
}

interface JasmineCore {
  noGlobals(): Record<string, unknown> & {
    readonly jasmine: { getEnv(): JasmineEnvironment };
  };
}

/**
 * Declares and runs the specs of a bundle, in order; jasmine's names do not outlive the call.
 * @param wanted By full name; the others are 'excluded'. Default: all.
 */
export async function runSpecs(
  bundle: string,
  wanted: (fullName: string) => boolean = () => true,
): Promise<readonly SpecResult[]> {
  const require = createRequire(import.meta.url);
  const names = (require('jasmine-core') as JasmineCore).noGlobals();
  const globals = globalThis as unknown as Record<string, unknown>;
  const before = new Map(Object.keys(names).map((name) => [name, globals[name]]));
  Object.assign(globals, names);
  try {
    const environment = names.jasmine.getEnv();
    const results: SpecResult[] = [];
    environment.configure({ random: false, specFilter: (spec) => wanted(spec.getFullName()) });
    environment.addReporter({ specDone: (result) => results.push(result) });
    require(bundle);
    await environment.execute();
    return results;
  } finally {
    for (const [name, value] of before) {
      if (value === undefined) delete globals[name];
      else globals[name] = value;
    }
  }
}
