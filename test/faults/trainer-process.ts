import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { RunId } from '@plumbline/shared/run';
import type { TrainerEvent } from '@plumbline/shared/trainer-event';
import { FaultyProxy } from '../support/faulty-proxy.js';
import type { ScriptedTrainerOptions, ScriptedTrainerSays } from './scripted-trainer.js';

/** The build's folder of these files, also when this runs from sources: child processes run the build. */
const built = fileURLToPath(import.meta.url).replace(/test\/(dist\/)?faults\/[^/]+$/, 'test/dist/');
/** A preload module that steps a program's clock; see there. */
export const steppingClock = join(built, 'support/stepping-clock.js');

/** A scripted trainer in its own process, with its network and all its events, which the store must contain. */
export class TrainerProcess {
  /** Emitted events by number, from 1 without a gap. */
  readonly emitted = new Map<number, TrainerEvent>();
  readonly emittedMs = new Map<number, number>();
  acknowledged = 0;
  /** The longest time from an event to its acknowledgement. */
  longestAckMs = 0;
  /** The reason if it gave up, which it must not. */
  lost: string | null = null;
  killed = false;

  private constructor(
    readonly runId: RunId,
    readonly proxy: FaultyProxy,
    readonly clockPath: string,
    private readonly child: ChildProcess,
  ) {
    child.on('message', (message: ScriptedTrainerSays) => {
      if (message.kind === 'emits') {
        this.emitted.set(message.event.seq, message.event);
        this.emittedMs.set(message.event.seq, performance.now());
      } else if (message.kind === 'acknowledged') {
        this.acknowledged = message.seq;
        this.longestAckMs = Math.max(this.longestAckMs, message.waitedMs);
      } else this.lost = message.reason;
    });
  }

  /**
   * @param hubPort the port that it connects to, through its own proxy
   * @param isDirect connects it without the proxy, for a process that is too busy to serve one
   */
  static async start(
    name: string,
    {
      hubPort,
      folder,
      isDirect = false,
      ...options
    }: { hubPort: number; folder: string; isDirect?: boolean } & Pick<
      ScriptedTrainerOptions,
      'token' | 'stepMs' | 'rules'
    >,
  ): Promise<TrainerProcess> {
    const runId = RunId.parse(name);
    const proxy = await FaultyProxy.start(hubPort);
    const clockPath = join(folder, `clock-${runId}`);
    const hubUrl = isDirect ? `http://127.0.0.1:${hubPort}` : proxy.url;
    const child = fork(
      join(built, 'faults/scripted-trainer.js'),
      [JSON.stringify({ ...options, hubUrl, runId } satisfies ScriptedTrainerOptions)],
      { execArgv: ['--import', steppingClock], env: { ...process.env, STEPPING_CLOCK: clockPath } },
    );
    return new TrainerProcess(runId, proxy, clockPath, child);
  }

  get alive(): boolean {
    return !this.killed && this.child.exitCode === null && this.child.signalCode === null;
  }

  /** The number of the first event emitted after a time of `performance.now()`, if any. */
  firstAfter(sinceMs: number): number | null {
    let seq = this.emitted.size;
    while (seq > 0 && this.emittedMs.get(seq)! >= sinceMs) seq--;
    return seq === this.emitted.size ? null : seq + 1;
  }

  stepClock(offsetMs: number): Promise<void> {
    return writeFile(this.clockPath, String(offsetMs));
  }

  async kill(): Promise<void> {
    if (!this.alive) return;
    this.killed = true;
    const exited = once(this.child, 'exit');
    this.child.kill('SIGKILL');
    await exited;
  }

  /** Ends the run normally. @returns false if it is still sending after `limitMs` */
  async finish(limitMs: number): Promise<boolean> {
    if (!this.alive) return true;
    const exited = once(this.child, 'exit').then(() => true);
    this.child.send('finish');
    const late = new Promise<boolean>((resolve) => setTimeout(resolve, limitMs, false).unref());
    const ended = await Promise.race([exited, late]);
    if (!ended) this.child.kill('SIGKILL');
    return ended;
  }
}
