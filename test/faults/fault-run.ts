import { join } from 'node:path';
import { Rng } from '@plumbline/shared/rng';
import type { CommandAction } from '@plumbline/shared/command';
import { Cluster } from '../support/cluster.js';
import { HubClient } from '../support/hub-client.js';
import { drawFault, whole, type Fault, type FaultKind } from './fault-kinds.js';
import { steppingClock, TrainerProcess } from './trainer-process.js';
import { verifyInTime, type Differences } from './verify.js';
import { Viewer, type Given } from './viewer.js';

export interface FaultRunOptions {
  seed: number;
  faults: number;
  trainers: number;
  kinds: readonly FaultKind[];
  log: (line: string) => void;
}
export interface FaultRunResult {
  faults: number;
  /** Acknowledged events of all trainers. */
  acknowledged: number;
  commands: number;
  differences: Differences;
  recoveries: { kind: string; ms: number }[];
}

/** The longest recovery from one fault; a longer one counts as not recovered. */
const recoveryLimitMs = 60_000;
const stepMs = 50;

/**
 * Two hubs behind nginx, with trainers and people who watch and steer, under one random fault after the other, at times
 * two at once. The seed determines everything except the machine's timing.
 */
export class FaultRun {
  readonly #rng: Rng;
  readonly #trainers: TrainerProcess[] = [];
  readonly #gone: TrainerProcess[] = [];
  readonly #viewers: Viewer[] = [];
  readonly #giving: Promise<Given>[] = [];
  #cluster!: Cluster;
  #token = '';
  #started = 0;
  #steering = true;

  private constructor(private readonly options: FaultRunOptions) {
    this.#rng = new Rng(options.seed);
  }

  static async run(options: FaultRunOptions): Promise<FaultRunResult> {
    const run = new FaultRun(options);
    try {
      return await run.#run();
    } finally {
      for (const viewer of run.#viewers) viewer.close();
      for (const trainer of [...run.#trainers, ...run.#gone]) {
        await trainer.kill();
        await trainer.proxy.close();
      }
      await run.#cluster?.remove();
    }
  }

  async #run(): Promise<FaultRunResult> {
    const clockOf = (hub: number, folder: string): string => join(folder, `clock-hub${hub + 1}`);
    const cluster = await Cluster.start(
      { PLUMBLINE_TRAINER_GRACE_MS: '5000', NODE_OPTIONS: `--import=${steppingClock}` },
      { storeProxies: true, ofHub: (hub, folder) => ({ STEPPING_CLOCK: clockOf(hub, folder) }) },
    );
    this.#cluster = cluster;
    this.#token = (await cluster.trainerToken()).trim();
    const person = await HubClient.open(cluster.hubs[0]!);
    person.close();
    const places = [...cluster.hubs.map((hub, i) => [`hub${i + 1}`, hub.url]), ['nginx', cluster.url]];
    for (const [name, url] of places) this.#viewers.push(new Viewer(name!, url!, person.cookie));
    for (let i = 0; i < this.options.trainers; i++) await this.#startTrainer();
    const steering = this.#steer();
    const recoveries: FaultRunResult['recoveries'] = [];
    await this.#recovered(performance.now());

    while (recoveries.length < this.options.faults) {
      const faults = this.#draw(this.options.faults - recoveries.length);
      const endedMs = Math.max(...(await Promise.all(faults.map((fault) => this.#suffer(fault)))));
      const slow = await this.#recovered(endedMs);
      const ms = Math.round(performance.now() - endedMs);
      for (const { kind, text } of faults) {
        recoveries.push({ kind, ms });
        this.options.log(`${recoveries.length}/${this.options.faults} ${kind} ${text}: ${ms} ms ${slow}`);
      }
      await this.#replaceLost();
      await sleep(whole(this.#rng, 0, 300));
    }

    this.#steering = false;
    await steering;
    const given = await Promise.all(this.#giving);
    const differences = await this.#end(given);
    const all = [...this.#trainers, ...this.#gone];
    return {
      ...{ faults: recoveries.length, commands: given.filter(({ accepted }) => accepted).length },
      acknowledged: all.reduce((sum, trainer) => sum + trainer.acknowledged, 0),
      ...{ differences, recoveries },
    };
  }

  /** Draws one fault, or two at once with different subjects. */
  #draw(most: number): Fault[] {
    const victims = {
      cluster: this.#cluster,
      trainers: this.#trainers,
      hubClocks: [0, 1].map((hub) => join(this.#cluster.folder, `clock-hub${hub + 1}`)),
      killTrainer: async (trainer: TrainerProcess) => {
        await trainer.kill();
        this.#remove(trainer);
      },
      replaceTrainer: () => this.#startTrainer(),
    };
    const first = drawFault(this.#rng, this.options.kinds, victims);
    const second = drawFault(this.#rng, this.options.kinds, victims);
    return most > 1 && this.#rng.uniform() < 0.3 && first.subject !== second.subject ? [first, second] : [first];
  }

  async #suffer(fault: Fault): Promise<number> {
    await fault.begin();
    await sleep(fault.durationMs);
    return fault.end();
  }

  /** A trainer that has given up counts as a difference at the end, and delays nobody until then. */
  async #replaceLost(): Promise<void> {
    for (const trainer of this.#trainers.filter(({ lost }) => lost !== null)) {
      this.options.log(`${trainer.runId} has given up: ${trainer.lost}`);
      this.#remove(trainer);
      await this.#startTrainer();
    }
  }

  /** A connection may watch only so many runs, so the viewers leave a run with its trainer. */
  #remove(trainer: TrainerProcess): void {
    this.#trainers.splice(this.#trainers.indexOf(trainer), 1);
    this.#gone.push(trainer);
    for (const viewer of this.#viewers) viewer.unwatch(trainer.runId);
  }

  /** Three of four go through nginx, the rest to one hub. */
  async #startTrainer(): Promise<void> {
    const { folder, hubs, nginx } = this.#cluster;
    const number = ++this.#started;
    const hubPort = number % 4 === 0 ? hubs[(number / 4) % 2]!.port : nginx.port;
    const trainer = await TrainerProcess.start(`run-${number}`, { hubPort, folder, token: this.#token, stepMs });
    this.#trainers.push(trainer);
    for (const viewer of this.#viewers) viewer.watch(trainer.runId);
  }

  /**
   * Waits until an event that each trainer emitted after that time is acknowledged and shown at every dashboard.
   * @returns who was last, if it took long
   */
  async #recovered(sinceMs: number): Promise<string> {
    const waiting = this.#trainers.flatMap((trainer) => [
      { trainer, who: `${trainer.runId} acknowledged`, upTo: () => trainer.acknowledged },
      ...this.#viewers.map((viewer) => ({
        ...{ trainer, who: `${trainer.runId} shown at ${viewer.name}` },
        upTo: () => viewer.shownTo.get(trainer.runId) ?? 0,
      })),
    ]);
    const first = new Map<TrainerProcess, number>();
    let left = waiting;
    let last = '';
    while (left.length > 0) {
      if (performance.now() - sinceMs > recoveryLimitMs || this.#trainers.some(({ lost }) => lost !== null))
        return `NOT RECOVERED: ${left.map(({ who, trainer }) => `${who} ${trainer.lost ?? ''}`).join(', ')}`;
      for (const trainer of this.#trainers)
        if (!first.has(trainer)) {
          const seq = trainer.firstAfter(sinceMs);
          if (seq !== null) first.set(trainer, seq);
        }
      const still = left.filter(({ trainer, upTo }) => upTo() < (first.get(trainer) ?? Infinity));
      if (still.length < left.length) last = left.at(-1)!.who;
      if (still.length === 0) last = left.map(({ who }) => who).join(', ');
      left = still;
      await sleep(5);
    }
    return performance.now() - sinceMs > 2000 ? `(last: ${last})` : '';
  }

  /** People give commands all the time, some of them twice at different hubs. */
  async #steer(): Promise<void> {
    const rng = new Rng(this.options.seed + 1);
    while (this.#steering) {
      await sleep(whole(rng, 100, 500));
      // A killed trainer may have no successor yet.
      if (this.#trainers.length === 0) continue;
      const actions: CommandAction[] = [
        { kind: 'evaluate_now' },
        { kind: 'save_checkpoint' },
        { kind: 'set_learning_rate', learningRate: 1e-4 * (1 + rng.uniform()) },
      ];
      const [by, other, trainer] = [rng.pick(this.#viewers), rng.pick(this.#viewers), rng.pick(this.#trainers)];
      this.#giving.push(by.give(trainer.runId, rng.pick(actions), rng.uniform() < 0.3 ? other : null));
    }
  }

  /** Faults are over: training ends and messages in transit arrive. */
  async #end(given: readonly Given[]): Promise<Differences> {
    this.options.log('all faults are over; trainers finish');
    const late = await Promise.all(this.#trainers.map((trainer) => trainer.finish(30_000)));
    // By then the runs of the last killed trainers have failed.
    await sleep(6000);
    const clients = this.#viewers.slice(0, 2).map(({ client }) => client);
    const trainers = [...this.#trainers, ...this.#gone];
    const differences = await verifyInTime(this.#cluster, clients, trainers, this.#viewers, given);
    this.#trainers.forEach(({ runId }, i) => {
      if (!late[i]) differences.other.push(`${runId}: its trainer could not send its last events`);
    });
    return differences;
  }
}

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
