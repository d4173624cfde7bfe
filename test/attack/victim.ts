import { mkdtemp, readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { isDeepStrictEqual } from 'node:util';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { RunId } from '@plumbline/shared/run';
import { TrainerProcess } from '../faults/trainer-process.js';
import { asStored, noDifferences, pointsOf } from '../faults/verify.js';
import { HubClient } from '../support/hub-client.js';
import { HubProcess } from '../support/hub-process.js';
import { storeManyRuns } from '../support/many-runs.js';
import { fillBigRun } from './big-run.js';
import { fillLargeModel, mostLayers } from './large-model.js';
import { fillLongLog } from './long-log.js';
import type { Sampled } from './hub-sampler.js';
import { HubWatch } from './hub-watch.js';
import { ask } from './raw-clients.js';

/** Measurements of the hub and its honest trainers. */
export interface Measured extends Sampled {
  /** The longest wait of an honest trainer for an acknowledgement. */
  longestAckMs: number;
}
const nothingMeasured: Measured = { peakMemoryMb: 0, standstillMs: 0, busyMs: 0, longestAckMs: 0 };

/** The longest wait of an honest client after an attack. */
const patienceMs = 20_000;

/**
 * The attacked hub, with its own port and folder, and its honest clients: a trainer that trains all the time in its own
 * process, and the owner with a signed-in browser.
 */
export class Victim {
  trainer!: TrainerProcess;
  owner!: HubClient;
  #watch!: HubWatch;
  #logged = 0;
  /** Measurements that `measured` has not yet returned, from before a restart and of other honest trainers. */
  #earlier = nothingMeasured;

  private constructor(
    readonly hub: HubProcess,
    readonly token: string,
    /** An ended run of millions of values. */
    readonly bigRun: RunId,
    /** An ended run with many control events, commands and large events. */
    readonly longLog: RunId,
    /** An ended run of a model with many tensors, each in a group of its own with its drift. */
    readonly largeModel: RunId,
  ) {}

  get port(): number {
    return this.hub.port;
  }

  /**
   * @param bigRunSteps steps of the big run, with a hundred values each; the long log, the large model and the list of runs
   *   grow with it, the model up to 50,000 tensors
   */
  static async start({ bigRunSteps }: { bigRunSteps: number }): Promise<Victim> {
    const dataDir = await mkdtemp(join(tmpdir(), 'plumbline-attack-'));
    const bigRun = await fillBigRun(dataDir, bigRunSteps);
    const longLog = await fillLongLog(dataDir, Math.ceil(bigRunSteps / 60));
    const largeModel = await fillLargeModel(dataDir, Math.min(mostLayers, Math.ceil(bigRunSteps / 200)));
    await storeManyRuns(dataDir, Math.ceil(bigRunSteps / 100));
    // The trainer must survive a restart of the hub.
    const hub = await HubProcess.start({ dataDir, env: { PLUMBLINE_TRAINER_GRACE_MS: '120000' } });
    const token = (await readFile(join(dataDir, 'trainer-token'), 'utf8')).trim();
    const victim = new Victim(hub, token, bigRun, longLog, largeModel);
    victim.#watch = HubWatch.start(hub);
    victim.owner = await HubClient.open(hub);
    victim.trainer = await TrainerProcess.start('honest', {
      // Attacks keep this process busy for seconds.
      ...{ hubPort: hub.port, folder: dataDir, token: victim.token, stepMs: 100, isDirect: true },
    });
    await victim.#goesOn();
    await victim.measured();
    return victim;
  }

  /** Sends a request below `/api` like the owner's browser. */
  asOwner(path: string, method = 'GET'): ReturnType<typeof ask> {
    const headers = { cookie: this.owner.cookie, origin: this.hub.url };
    return ask(this.port, `/api${path}`, { method, headers, from: '127.0.0.1', timeoutMs: patienceMs });
  }

  /** The hub's log since its start. */
  get logged(): string {
    return this.hub.output;
  }

  /** The hub's log since the last call. */
  newLog(): string {
    const { output } = this.hub;
    const fresh = output.slice(this.#logged);
    this.#logged = output.length;
    return fresh;
  }

  /** Memory, standstill and waits for acknowledgements since the last call. */
  async measured(): Promise<Measured> {
    const { peakMemoryMb, standstillMs, busyMs } = await this.#watch.take();
    const [earlier, { longestAckMs }] = [this.#earlier, this.trainer];
    this.#earlier = nothingMeasured;
    this.trainer.longestAckMs = 0;
    return {
      peakMemoryMb: Math.max(peakMemoryMb, earlier.peakMemoryMb),
      standstillMs: Math.max(standstillMs, earlier.standstillMs),
      busyMs: Math.max(busyMs, earlier.busyMs),
      longestAckMs: Math.max(longestAckMs, earlier.longestAckMs),
    };
  }

  /** Counts the wait of another honest trainer for an acknowledgement. */
  acknowledgedAfter(waitedMs: number): void {
    this.#earlier = { ...this.#earlier, longestAckMs: Math.max(this.#earlier.longestAckMs, waitedMs) };
  }

  /**
   * The effects of an attack on honest clients, a sentence each: the hub is gone, the trainer cannot continue, an
   * acknowledged event is missing, the owner is locked out. Restarts a hub that is gone.
   */
  async faults(): Promise<string[]> {
    if (await this.#lives()) return this.#honestFaults();
    const why =
      this.#watch.ended ?? (this.hub.isRunning ? `the hub answers nobody for ${patienceMs / 1000} s` : 'the hub died');
    await this.restart();
    return [why, ...(await this.#honestFaults())];
  }

  /** Restarts the hub on the same data, so that effects of one attack are not blamed on the next. */
  async restart(): Promise<void> {
    this.#earlier = await this.measured();
    this.#watch.close();
    await this.hub.kill();
    await this.hub.start();
    this.#logged = 0;
    this.#watch = HubWatch.start(this.hub);
    await this.#goesOn();
    // The trainer waited for the restart.
    this.trainer.longestAckMs = 0;
  }

  async remove(): Promise<void> {
    this.owner?.close();
    await this.trainer?.kill();
    await this.trainer?.proxy.close();
    this.#watch?.close();
    await this.hub.remove();
  }

  async #lives(): Promise<boolean> {
    const endMs = performance.now() + patienceMs;
    while (performance.now() < endMs && this.hub.isRunning) {
      const { status } = await ask(this.port, '/healthz', { from: '127.0.0.1', timeoutMs: patienceMs });
      if (status === 200) return true;
      await sleep(200);
    }
    return false;
  }

  async #honestFaults(): Promise<string[]> {
    const found = await Promise.all([
      this.#goesOn(),
      this.#acknowledgedIsThere(),
      this.#ownerGetsPages(),
      this.#ownerCommands(),
    ]);
    return found.filter((fault) => fault !== null);
  }

  /** Checks that an event sent from now on is acknowledged. */
  async #goesOn(): Promise<string | null> {
    const sinceMs = performance.now();
    while (performance.now() < sinceMs + patienceMs) {
      const seq = this.trainer.firstAfter(sinceMs);
      if (seq !== null && this.trainer.acknowledged >= seq) return null;
      if (this.trainer.lost !== null) return `the trainer gave up: ${this.trainer.lost}`;
      await sleep(20);
    }
    return 'the trainer gets no more acknowledgements';
  }

  async #acknowledgedIsThere(): Promise<string | null> {
    const { runId, acknowledged, emitted } = this.trainer;
    try {
      const [history, control] = [await this.owner.history(runId), await this.owner.controlEvents(runId)];
      const found = noDifferences();
      const stored = new Map<number, unknown>(control.events.map((event) => [event.seq, event]));
      for (const [seq, point] of pointsOf(history, runId, found)) stored.set(seq, point);
      const [lost] = [...emitted].filter(
        ([seq, event]) => seq <= acknowledged && !isDeepStrictEqual(stored.get(seq), asStored(event)),
      );
      if (lost) return `event ${lost[0]} of ${acknowledged} acknowledged ones is missing or changed`;
      return found.duplicated[0] ?? null;
    } catch (error) {
      return `the owner cannot read the run: ${error instanceof Error ? error.message : String(error)}`;
    }
  }

  async #ownerGetsPages(): Promise<string | null> {
    for (const path of ['/api/runs', '/api/session', '/', '/runs/']) {
      const headers = { cookie: this.owner.cookie };
      const { status, body } = await ask(this.port, path, { headers, from: '127.0.0.1', timeoutMs: patienceMs });
      // A dashboard that is not built answers 503 and says so.
      const isPage = status === 200 || (!path.startsWith('/api') && body.includes('The dashboard is not built'));
      if (!isPage) return `the owner's ${path} is answered ${status} ${body.slice(0, 120)}`;
    }
    return null;
  }

  async #ownerCommands(): Promise<string | null> {
    const limit = sleep(patienceMs, null, { ref: false });
    const learningRate = 1e-4 * (1 + (this.trainer.emitted.size % 97));
    const ended = this.owner
      .commandEnd(this.trainer.runId, { kind: 'set_learning_rate', learningRate })
      .catch((error: unknown) => (error instanceof Error ? error.message : String(error)));
    const end = await Promise.race([ended, limit]);
    if (end === null) return "the owner's command does not end";
    if (typeof end === 'string') return `the owner's command fails: ${end}`;
    return end.state === 'applied' ? null : `the owner's command is ${end.state}: ${end.reason}`;
  }
}
