import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import type { Attack } from '../attack.js';
import type { FuzzNews, FuzzTask } from './fuzz-worker.js';
import { wireFuzzAttacks } from './wire-fuzz.js';

/** The built file, also when this runs from sources: threads run the build. */
const worker = fileURLToPath(import.meta.url).replace(
  /test\/(dist\/)?attack\/fuzz\/[^/]+$/,
  'test/dist/attack/fuzz/fuzz-worker.js',
);
/** A round that takes longer counts as hanging. */
const hangsAfterMs = 60_000;
/** For a busy machine; file inputs take about 7 ms. */
const mostPerInputMs = 100;

const boundaryNames = [
  ...['frames', 'trainer messages', 'dashboard messages', 'rest queries and bodies'],
  ...['exports and imports', 'data sets', 'command line'],
] as const;

/** Number of inputs tried per boundary, for the summary. */
export const fuzzedInputs = new Map<string, number>();

/** @returns the fault, or null */
function fuzz(task: FuzzTask): Promise<string | null> {
  return new Promise((resolve) => {
    const faults: string[] = [];
    const thread = new Worker(worker, { workerData: task });
    let timer: NodeJS.Timeout;
    const wait = (): void => {
      clearTimeout(timer);
      timer = setTimeout(() => end('it hangs'), hangsAfterMs);
    };
    const end = (what: string | null): void => {
      clearTimeout(timer);
      void thread.terminate();
      if (what) faults.push(`${what} after ${fuzzedInputs.get(task.boundary) ?? 0} inputs`);
      resolve(
        faults.length === 0 ? null : `${faults.length} fault(s), seed ${task.seed}: ${faults.slice(0, 3).join(' | ')}`,
      );
    };
    thread.on('message', (news: FuzzNews) => {
      wait();
      if (news.kind === 'progress') fuzzedInputs.set(task.boundary, news.inputs);
      else faults.push(`round ${news.round}: ${news.fault}`);
    });
    thread.on('error', (error) => end(`it broke off with ${String(error)}`));
    thread.on('exit', () => end(null));
    wait();
  });
}

/** @param inputs per boundary; a thirtieth of that over the wire */
export const fuzzAttacks = (inputs: number, seed: number): Attack[] => [
  ...boundaryNames.map((boundary) => ({
    name: `fuzz: ${inputs} inputs, ${boundary}`,
    run: () => fuzz({ boundary, inputs, seed }),
    // A hanging one is ended much earlier.
    limitMs: hangsAfterMs + mostPerInputMs * inputs,
  })),
  ...wireFuzzAttacks(Math.ceil(inputs / 30), seed),
];
