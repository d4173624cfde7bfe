import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { HubProcess } from '../support/hub-process.js';
import { residentMb } from '../support/process-memory.js';
import type { Sampled } from './hub-sampler.js';

/** The build's folder of these files, also when this runs from sources: child processes run the build. */
const sampler = fileURLToPath(import.meta.url).replace(
  /test\/(dist\/)?attack\/[^/]+$/,
  'test/dist/attack/hub-sampler.js',
);
/** A hub that uses more is killed, to protect the machine. */
const maxMemoryMb = 2000;

/** Measures a hub from outside, see hub-sampler.ts, and kills one that endangers the machine. */
export class HubWatch {
  /** The reason why the hub was killed, or null. */
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

  /** Measurements since the last call. */
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
