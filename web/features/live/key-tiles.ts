import { formatEnergy } from '@plumbline/shared/energy-words';
import { isMeasured, metrics, targetAccuracy } from '@plumbline/shared/metric';
import { builtInConfig } from '@plumbline/shared/built-in/described-run';
import { recovery } from '@plumbline/shared/recovery';
import { targetNames, taskLabel } from '@plumbline/shared/run-tasks';
import { formatDelta, formatLearningRate, formatValue, type Unit } from '../../charts/format';
import type { ChartColor } from '../../charts/palette';
import { beginningOf, peakLearningRate } from '../../lib/changes';
import { energyMetrics, energyReading } from '../../lib/energy-reading';
import { expectedSeries } from '../../lib/expected-series';
import type { RunStore } from '../../lib/run-store';
import { recoverySubject } from '../drift/recovery-view';
import { learningRates } from './metric-series';
import { isTelling, ownSeries } from './own-series';
import { eachRateWords, rateWords } from './rate-words';
import { unitOf } from './series-chart';

/** One of the key figures of a run. */
export interface KeyTile {
  id: string;
  label: string;
  color: ChartColor;
  value: string;
  /** The number behind the value: marked where it cannot be drawn. */
  measured: number | undefined;
  note: string;
  /** Shown while the pointer rests on the tile. */
  hint?: string | undefined;
  /** The series whose last values the tile needs. It is drawn where the run has the first. */
  series: readonly string[];
}

export const mostTiles = 8;
/** A run without known names and without directions gets this many tiles of whatever it sends. */
const fewestTiles = 4;
/** Series that charts and maps explain better than a tile. */
const withoutTile = /^(drift|contribution|energy)\/|^probe\/|^(held_out|target)\/.+\/accuracy$/;

/**
 * The key figures of a run: series that its trainer declares with a direction first, then those that this page knows,
 * then other losses and held-out values. Every tile is of a series that the run has.
 */
export function keyTiles(store: RunStore): KeyTile[] {
  const names = expectedSeries(store);
  const known = knownTiles(store).filter(({ series }) => names.has(series[0]!));
  const isBuiltIn = store.runSummary !== null && builtInConfig(store.runSummary.description) !== null;
  if (isBuiltIn) return known;
  const explained = new Set(knownTiles(store).flatMap(({ series }) => series));
  const own = ownSeries(store.declared.values(), (name) => explained.has(name) || withoutTile.test(name));
  const facts = (name: string) => store.declared.get(name)!;
  const directed = own.filter((name) => facts(name).better !== undefined);
  const telling = own.filter((name) => !directed.includes(name) && isTelling(facts(name)));
  const rest = own.filter((name) => !directed.includes(name) && !telling.includes(name));
  const room = (taken: readonly unknown[], most = mostTiles): number => Math.max(0, most - taken.length);
  const tiles = [...directed.slice(0, room(known)).map((name) => ownTile(store, name)), ...known];
  tiles.push(...telling.slice(0, room(tiles)).map((name) => ownTile(store, name)));
  tiles.push(...rest.slice(0, room(tiles, fewestTiles)).map((name) => ownTile(store, name)));
  return tiles;
}

const latestOf = (store: RunStore, metric: string): number | undefined => store.series.get(metric)?.lastValue;
function againstBase(store: RunStore, metric: string, unit: Unit): string {
  const [now, base] = [latestOf(store, metric), store.baseline(metric)];
  return now === undefined || base === undefined ? '' : `${formatDelta(now - base, unit)} vs base`;
}

/** The tile of a series that this page knows nothing about, as its trainer declares it. */
function ownTile(store: RunStore, name: string): KeyTile {
  const { label = name } = store.declared.get(name) ?? {};
  const { unit, unitText = '' } = unitOf(store, name);
  const now = latestOf(store, name);
  const note = againstBase(store, name, unit);
  return {
    ...{ id: `key-${name}`, label, color: 'ink', series: [name], measured: now },
    value: now === undefined ? '–' : [formatValue(now, unit), unitText].filter(Boolean).join(' '),
    note: now === undefined ? 'no value so far' : note,
    ...(label !== name && { hint: name }),
  };
}

function knownTiles(store: RunStore): KeyTile[] {
  const description = store.runSummary?.description;
  const tasks = description ?? { tasks: [] };
  const task = store.stage?.task ?? targetNames(tasks, store.seriesNames)[0];
  const figure = (
    id: string,
    label: string,
    color: ChartColor,
    metric: string,
    unit: Unit,
    note = againstBase(store, metric, unit),
  ): KeyTile => {
    const measured = latestOf(store, metric);
    return { id: `key-${id}`, label, color, value: formatValue(measured, unit), measured, note, series: [metric] };
  };
  const beside = (label: string, metric: string, unit: Unit): string => {
    const value = latestOf(store, metric);
    return value === undefined ? '' : `${label} ${formatValue(value, unit)}`;
  };
  const { heldOutMean, numberTokensHeldOut, kl, js, loss, gradientNorm } = metrics;
  const withBeside = (tile: KeyTile, ...series: string[]): KeyTile => ({
    ...tile,
    series: [...tile.series, ...series],
  });
  return [
    ...(task === undefined
      ? []
      : [figure('target', `${taskLabel(tasks, task)} accuracy`, 'target', targetAccuracy(task), 'percent')]),
    figure('held-out', 'Held-out accuracy', 'held-out', heldOutMean, 'percent'),
    ...recoveredTile(store),
    figure('bias', 'Number-token bias', 'held-out', numberTokensHeldOut, 'probability'),
    withBeside(figure('kl', 'KL(base ‖ now)', 'violet', kl, 'nats', beside('JS', js, 'nats')), js),
    withBeside(figure('loss', 'Loss', 'ink', loss, '', beside('gradient norm', gradientNorm, '')), gradientNorm),
    learningRateTile(store),
    energyTile(store),
  ];
}

/** Nothing where the trainer has declared no base, direction and noise floor: recovery is not defined there. */
function recoveredTile(store: RunStore): KeyTile[] {
  const subject = recoverySubject(store, metrics.heldOutMean);
  const isBuiltIn = store.runSummary !== null && builtInConfig(store.runSummary.description) !== null;
  if (!subject && !isBuiltIn) return [];
  const back =
    subject && recovery(store.wholeCourse(metrics.heldOutMean), subject.base, subject.worse, subject.noiseFloor);
  const floor = subject ? `noise ${subject.noiseFloor.toFixed(1)} pp` : '';
  return [
    {
      ...{ id: 'key-recovered', label: 'Recovered', color: 'held-out', series: [metrics.heldOutMean] },
      value: back ? formatValue(back.percent, 'percent') : '–',
      measured: back?.percent,
      note: back ? `of ${formatDelta(back.worst - subject.base, 'percent')}, ${floor}` : floor && `no drop, ${floor}`,
    },
  ];
}

function learningRateTile(store: RunStore): KeyTile {
  const description = store.runSummary?.description;
  const names = learningRates(store);
  const rates = names.flatMap((name) => {
    const rate = latestOf(store, name);
    return rate === undefined ? [] : [{ name, label: store.declared.get(name)?.label, rate }];
  });
  const peak = description ? peakLearningRate(beginningOf(description), store.changesInForce) : undefined;
  const schedule = description && builtInConfig(description)?.schedule;
  return {
    ...{ id: 'key-learning-rate', label: 'Learning rate', color: 'slate', series: names },
    value: rateWords(rates),
    measured: rates.find(({ rate }) => !isMeasured(rate))?.rate,
    note:
      eachRateWords(rates) ||
      [peak !== undefined && `peak ${formatLearningRate(peak)}`, schedule].filter(Boolean).join(', '),
    ...(rates.length > 1 && {
      hint: rates.map(({ name, rate }) => `${name}: ${formatLearningRate(rate)}`).join('\n'),
    }),
  };
}

function energyTile(store: RunStore): KeyTile {
  const energy = energyReading(store);
  return {
    ...{ id: 'key-energy', label: energy ? `Energy, ${energy.how}` : 'Energy', color: 'slate', series: energyMetrics },
    value: energy ? formatEnergy(energy.joules) : '–',
    measured: energy?.joules,
    note: energy ? [energy.range, energy.emissions].filter(Boolean).join(' · ') : '',
    hint: energy?.rests,
  };
}
