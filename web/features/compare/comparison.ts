import { builtInConfig } from '@plumbline/shared/built-in/described-run';
import { metrics, targetAccuracy, isMeasured } from '@plumbline/shared/metric';
import { recovery } from '@plumbline/shared/recovery';
import { targetNames } from '@plumbline/shared/run-tasks';
import { changesOf, shortChangeWords } from '../../lib/changes';
import type { RunStore } from '../../lib/run-store';
import { energyReading, type EnergyReading } from '../../lib/energy-reading';
import { trainingOf, type Setting } from '../../lib/settings';
import { recoverySubject } from '../drift/recovery-view';
import { isTelling, ownSeries } from '../live/own-series';

/** The results of a run, or its results so far. Undefined if not measured. */
export interface Comparison {
  /** What trains and the peak learning rate, in words. */
  training: { trains: Setting | null; rate: Setting | null };
  /** Accuracy in percent, final and at its worst. */
  heldOut: number | undefined;
  lowestHeldOut: number | undefined;
  /** Percentage points of held-out accuracy below the base model; below 0 where the run is above it. */
  forgetting: number | undefined;
  /** How much of the worst drop has come back, in percent; undefined if nothing dropped past the noise floor. */
  recovered: number | undefined;
  /** Percentage points above the base model, of each task that it teaches. */
  targetGains: readonly { task: string; points: number | undefined }[];
  /** Their mean. */
  targetGain: number | undefined;
  kl: number | undefined;
  bias: number | undefined;
  /** Null if the trainer sends none; a branch counts from its own start. */
  energy: EnergyReading | null;
  /** Changes during the run, in a few words each. */
  changes: string[];
  /** Changes that a restored branch took over from its parent. */
  takenOver: string[];
}

/** Reads the figures of one run against the base model; for a branch over its whole course, with its ancestors. */
export function comparisonOf(store: RunStore): Comparison | null {
  const run = store.runSummary;
  if (!run) return null;
  const latest = (metric: string): number | undefined => store.series.get(metric)?.lastValue;
  const above = (metric: string): number | undefined => {
    const [now, base] = [latest(metric), store.baseline(metric)];
    return now === undefined || base === undefined ? undefined : now - base;
  };
  const measured = store.buffer(metrics.heldOutMean);
  const values = store.wholeCourse(metrics.heldOutMean);
  const takenOver = store.past?.inForce ?? [];
  const measuredValues = values.filter(isMeasured);
  const subject = recoverySubject(store, metrics.heldOutMean);
  const gain = above(metrics.heldOutMean);
  const targetGains = targetNames(run.description, []).map((task) => ({ task, points: above(targetAccuracy(task)) }));
  return {
    training: trainingOf(store),
    heldOut: measured.lastValue,
    lowestHeldOut: measuredValues.length > 0 ? measuredValues.reduce((low, value) => Math.min(low, value)) : undefined,
    forgetting: gain === undefined ? undefined : 0 - gain,
    recovered: (subject && recovery(values, subject.base, 'lower', subject.noiseFloor)?.percent) ?? undefined,
    targetGains,
    targetGain: meanOf(targetGains.map((each) => each.points)),
    kl: latest(metrics.kl),
    bias: latest(metrics.numberTokensHeldOut),
    energy: energyReading(store),
    changes: changesOf(store.ownCommands).map(shortChangeWords),
    takenOver: changesOf(takenOver).map(shortChangeWords),
  };
}

/** Series that have charts and columns of their own, or that cannot be compared side by side. */
const covered = /^(drift|contribution|energy|probe)\/|^(held_out|target)\/.+\/accuracy$/;
const charted: readonly string[] = [metrics.kl, metrics.js, metrics.numberTokensHeldOut, metrics.loss];
/** The most series of other trainers that are compared. */
const mostOwn = 6;

/**
 * The series of other trainers to compare, beside those that the page knows: losses, series with a direction and held-out
 * values, those of more runs first.
 */
export function ownCompared(stores: readonly RunStore[]): string[] {
  const others = stores.filter(({ runSummary: run }) => run && !builtInConfig(run.description));
  const facts = new Map(others.flatMap(({ declared }) => [...declared]));
  const runsWith = (name: string): number => others.filter(({ declared }) => declared.has(name)).length;
  return ownSeries(facts.values(), (name) => covered.test(name) || charted.includes(name))
    .filter((name) => isTelling(facts.get(name)!))
    .sort((a, b) => runsWith(b) - runsWith(a))
    .slice(0, mostOwn);
}

/** The mean; undefined if there is no value or one was not measured. */
function meanOf(values: readonly (number | undefined)[]): number | undefined {
  const known = values.filter((value) => value !== undefined);
  return known.length < values.length || known.length === 0
    ? undefined
    : known.reduce((sum, value) => sum + value, 0) / known.length;
}

/** Unique names of the runs: with the id if a name occurs twice. */
export function namesApart(runs: readonly { runId: string; description: { name: string } }[]): string[] {
  return runs.map(({ runId, description: { name } }) =>
    runs.filter((other) => other.description.name === name).length > 1 ? `${name} (${runId})` : name,
  );
}
