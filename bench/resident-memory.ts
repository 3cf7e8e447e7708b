// SPDX-License-Identifier: Apache-2.0
// Resident memory of this process, as Linux accounts for it.
import { readFileSync, writeFileSync } from 'node:fs';

export interface ResidentMemory {
  readonly residentBytes: number;
  /** Highest since the start of the process or the last `resetPeak` (VmHWM); null where the system does not say. */
  readonly peakBytes: number | null;
}

export function residentMemory(): ResidentMemory {
  const residentBytes = process.memoryUsage.rss();
  try {
    const kibibytes = /^VmHWM:\s*(\d+)/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1];
    return { residentBytes, peakBytes: kibibytes === undefined ? null : 1024 * Number(kibibytes) };
  } catch {
    return { residentBytes, peakBytes: null };
  }
}

/** The file of a library that this process has loaded, by a part of its name; null where there is none, or the system does not say. */
export function loadedLibrary(name: string): string | null {
  try {
    const maps = readFileSync('/proc/self/maps', 'utf8');
    return maps.match(/\/.*$/gm)?.find((path) => path.includes(name)) ?? null;
  } catch {
    return null;
  }
}

/** Forgets the peak so far, after a collection, so that loading does not count. False where the system has no such switch. */
export function resetPeak(): boolean {
  collectGarbage();
  try {
    writeFileSync('/proc/self/clear_refs', '5');
    return true;
  } catch {
    return false;
  }
}

/** A full collection, in a process started with --expose-gc. */
export function collectGarbage(): void {
  (globalThis as { gc?: () => void }).gc?.();
}
