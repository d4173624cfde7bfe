import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { HubProcess } from '../support/hub-process.js';
import type { Sampled } from './hub-sampler.js';

/** The build's folder of these files, from the sources too: child processes run the build. */
const sampler = fileURLToPath(import.meta.url).replace(
  /test\/(dist\/)?attack\/[^/]+$/,
  'test/dist/attack/hub-sampler.js',
);
/** A hub that takes more is ended: the machine has other work. */
const maxMemoryMb = 2000;

/** Measures a hub from outside, see hub-sampler.ts, and ends one that would take the machine down with it. */
export class HubWatch {
  /** Why the hub was ended; null while it was not. */
  ended: string | null = null;
  readonly #guard: NodeJS.Timeout;

  private constructor(
    hub: HubProcess,
    private readonly child: ChildProcess,
  ) {
    const { processId } = hub;
    this.#guard = setInterval(() => {
      const memoryMb = residentMb(processId);
      if (memoryMb < maxMemoryMb || this.ended !== null) return;
      this.ended = `the hub took ${Math.round(memoryMb)} MB and was ended`;
      void hub.kill();
    }, 50).unref();
  }

  static start(hub: HubProcess): HubWatch {
    return new HubWatch(hub, fork(sampler, [String(hub.processId), String(hub.port)]));
  }

  /** What was seen since the last time. */
  async take(): Promise<Sampled> {
    const answer = once(this.child, 'message');
    this.child.send('take');
    return ((await answer) as [Sampled])[0];
  }

  close(): void {
    clearInterval(this.#guard);
    this.child.disconnect();
  }
}

export function residentMb(processId: number): number {
  try {
    return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${processId}/status`, 'utf8'))?.[1] ?? 0) / 1000;
  } catch {
    return 0;
  }
}
