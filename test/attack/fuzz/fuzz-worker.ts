import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parentPort, workerData } from 'node:worker_threads';
import { Rng } from '@plumbline/shared/rng';
import { argumentBoundaries } from './argument-boundary.js';
import type { OpenBoundary } from './boundary.js';
import { fileBoundaries } from './file-boundaries.js';
import { messageBoundaries } from './message-boundaries.js';

/* Tries one boundary in its own thread, so that a hanging one can be ended. */

export interface FuzzTask {
  boundary: string;
  inputs: number;
  seed: number;
}
/** Messages of the thread: progress from time to time, and each fault with the number of its round. */
export type FuzzNews = { kind: 'progress'; inputs: number } | { kind: 'fault'; round: number; fault: string };

const boundaries: Record<string, OpenBoundary> = { ...messageBoundaries, ...fileBoundaries, ...argumentBoundaries };
const { boundary, inputs, seed } = workerData as FuzzTask;
const tell = (news: FuzzNews): void => parentPort!.postMessage(news);
/** Further faults are more of the same. */
const maxFaults = 20;
/** The longest time between two progress messages. */
const newsEveryMs = 1000;

const folder = await mkdtemp(join(tmpdir(), 'plumbline-fuzz-'));
try {
  const opened = await boundaries[boundary]!(new Rng(seed), folder);
  let [done, faults, toldMs] = [0, 0, performance.now()];
  for (let round = 0; done < inputs && faults < maxFaults; round++) {
    const { inputs: tried, fault } = await opened.next();
    done += tried;
    if (fault !== null) {
      faults++;
      tell({ kind: 'fault', round, fault });
    }
    if (performance.now() - toldMs > newsEveryMs) {
      toldMs = performance.now();
      tell({ kind: 'progress', inputs: done });
      // Unhandled rejections surface between two turns of the event loop.
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
  await opened.close?.();
  tell({ kind: 'progress', inputs: done });
} finally {
  await rm(folder, { recursive: true, force: true });
}
