import { writeFile } from 'node:fs/promises';
import type { Rng } from '@plumbline/shared/rng';
import type { Cluster } from '../support/cluster.js';
import type { FaultyProxy, ProxyState } from '../support/faulty-proxy.js';
import type { TrainerProcess } from './trainer-process.js';

export const faultKinds = [
  ...['trainer killed', 'hub killed', 'influxd killed', 'redis killed'],
  ...['trainer reset', 'trainer half-open', 'trainer slow'],
  ...['store reset', 'store half-open', 'store slow'],
  ...['hub clock stepped', 'trainer clock stepped'],
] as const;
export type FaultKind = (typeof faultKinds)[number];

export interface Fault {
  kind: FaultKind;
  /** Kind and target: two faults of the same subject do not overlap. */
  subject: string;
  /** Description for people. */
  text: string;
  durationMs: number;
  begin(): Promise<void>;
  /**
   * @returns the time of its end (`performance.now()`): the start of our own programs counts as recovery, that of other
   *   servers does not
   */
  end(): Promise<number>;
}

/** The targets of faults. */
export interface Victims {
  cluster: Cluster;
  trainers: readonly TrainerProcess[];
  /** The files that step each hub's clock. */
  hubClocks: readonly string[];
  /** Kills a trainer; its run is over. */
  killTrainer(trainer: TrainerProcess): Promise<void>;
  /** Starts another one in its place, with a new run. */
  replaceTrainer(): Promise<void>;
}

/** Draws a fault of one of these kinds, against any target and for any time. */
export function drawFault(rng: Rng, kinds: readonly FaultKind[], victims: Victims): Fault {
  const { cluster, trainers } = victims;
  const kind = rng.pick(kinds);
  const hub = whole(rng, 0, cluster.hubs.length - 1);
  const trainer = rng.pick(trainers);
  const durationMs = whole(rng, 0, 1500);
  const now = (): Promise<number> => Promise.resolve(performance.now());
  switch (kind) {
    case 'trainer killed':
      return {
        ...{ kind, subject: trainer.runId, text: trainer.runId, durationMs },
        begin: () => victims.killTrainer(trainer),
        end: () => timed(() => victims.replaceTrainer()),
      };
    case 'hub killed':
      return {
        ...{ kind, subject: `hub ${hub}`, text: `hub${hub + 1}`, durationMs },
        begin: () => cluster.hubs[hub]!.kill(),
        end: () => timed(() => cluster.hubs[hub]!.start()),
      };
    case 'influxd killed':
      return {
        ...{ kind, subject: 'influxd', text: '', durationMs },
        begin: () => cluster.influx.kill(),
        end: () => cluster.influx.launch().then(now),
      };
    case 'redis killed':
      return {
        ...{ kind, subject: 'redis', text: '', durationMs },
        begin: () => cluster.redis.kill(),
        end: () => cluster.redis.start().then(now),
      };
    case 'trainer reset':
    case 'trainer half-open':
    case 'trainer slow':
      return network(kind, trainer.proxy, trainer.runId);
    case 'store reset':
    case 'store half-open':
    case 'store slow':
      return network(kind, cluster.storeProxies[hub]!, `hub${hub + 1} to influxd`);
    case 'hub clock stepped':
      return clock(kind, `hub${hub + 1}`, (offsetMs) => writeFile(victims.hubClocks[hub]!, String(offsetMs)));
    case 'trainer clock stepped':
      return clock(kind, trainer.runId, (offsetMs) => trainer.stepClock(offsetMs));
  }

  function network(what: FaultKind, proxy: FaultyProxy, subject: string): Fault {
    const broken: ProxyState = what.endsWith('slow')
      ? { kind: 'slow', delayMs: whole(rng, 20, 800) }
      : { kind: what.endsWith('half-open') ? 'half-open' : 'healthy' };
    return {
      ...{ kind: what, subject: `network of ${subject}`, durationMs: what.endsWith('reset') ? 0 : durationMs },
      text: `${subject}${broken.kind === 'slow' ? ` by ${broken.delayMs} ms` : ''}`,
      begin: () => {
        if (what.endsWith('reset')) proxy.reset();
        else proxy.become(broken);
        return Promise.resolve();
      },
      end: () => {
        proxy.become({ kind: 'healthy' });
        return now();
      },
    };
  }

  /** The clock keeps its offset until it is stepped again. */
  function clock(what: FaultKind, subject: string, step: (offsetMs: number) => Promise<void>): Fault {
    const limitMs = rng.pick([2_000, 60_000, 3_600_000]);
    const offsetMs = whole(rng, -limitMs, limitMs);
    return {
      ...{ kind: what, subject: `clock of ${subject}`, text: `${subject} to ${offsetMs} ms`, durationMs: 0 },
      begin: () => step(offsetMs),
      end: now,
    };
  }
}

export const whole = (rng: Rng, least: number, most: number): number => least + rng.integer(most - least + 1);

/** Runs the work and returns its start time. */
async function timed(work: () => Promise<unknown>): Promise<number> {
  const fromMs = performance.now();
  await work();
  return fromMs;
}
