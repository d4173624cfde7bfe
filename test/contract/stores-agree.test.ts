import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CommandRecord } from '@plumbline/shared/command';
import { MetricName, toWireNumber, wallTimeSeries, type WireNumber } from '@plumbline/shared/metric';
import { RunId } from '@plumbline/shared/run';
import type { TrainerEvent } from '@plumbline/shared/trainer-event';
import { EmbeddedStore } from '../../server/store/embedded-store.js';
import type { EventStore, HistoryRange, WindowRange, Windows } from '../../server/store/event-store.js';
import { InfluxStore, type InfluxStoreOptions } from '../../server/store/influx-store.js';
import { InfluxServer } from '../support/influx-server.js';
import { oddNames } from '../support/odd-names.js';
import { stepEvent, storedRun } from './stored-samples.js';
import { storedControlEvents } from '../support/stored-control-events.js';

/*
 * Random runs, written to both stores, have to be answered alike. What is random follows from a seed, which the name of
 * the test says.
 */
const folder = mkdtempSync(join(tmpdir(), 'plumbline-stores-agree-'));
let server: InfluxServer;
let embedded: EventStore;
let influx: InfluxStore;
let options: InfluxStoreOptions;
beforeAll(async () => {
  server = await InfluxServer.start();
  const { url, org, token } = server;
  options = { url, org, token, bucket: await server.bucket(), spoolFolder: join(folder, 'spool') };
  embedded = new EmbeddedStore(join(folder, 'store.duckdb'));
  influx = new InfluxStore(options);
});
afterAll(async () => {
  await Promise.all([embedded.close(), influx.close()]);
  await server.remove();
  rmSync(folder, { recursive: true });
});

type Random = () => number;
/** mulberry32: numbers from 0 to 1. */
function randomFrom(seed: number): Random {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}
const oneOf = <T>(random: Random, choices: readonly T[]): T => choices[Math.floor(random() * choices.length)]!;

/** Names that a line of InfluxDB may take for something else are among them. */
const names = [
  ...['train/loss', 'train/time', 'train/run', 'train/kind', 'train/_value', 'train/deep/er/loss', 'shift/kl'],
  ...['held_out/colour/accuracy', 'held_out/mean/accuracy', 'held_out/accuracy', 'held_out/a/b/c', 'held_out/a/task'],
  ...['target/counting/accuracy', 'drift/language_model.layers.0.mlp.up_proj', 'drift/distance', 'drift/a/b'],
  ...['plumbline/a', 'plumbline_x/a', 'bias/number_tokens/held_out', 'train/seq', 'train/e-1.5', 'time/time', 'run/x'],
  ...oddNames,
].map((name) => MetricName.parse(name));

/** How a metric's values go: each a shape that something has once gone wrong with. */
const shapes: ((random: Random) => number)[] = [
  (random) => random() * 10,
  (random) => Math.floor(random() * 3), // ties
  (random) => oneOf(random, [0, -0]),
  (random) => oneOf(random, [NaN, Infinity, -Infinity, 1, 2]),
  (random) => (random() < 0.02 ? NaN : random() - 0.5),
  (random) => (random() - 0.5) * 10 ** Math.floor(random() * 600 - 300),
  (random) => oneOf(random, [5e-324, -5e-324, 2.2250738585072014e-308, 0.1, 1e-7]),
  (random) => 1e15 + random(),
  () => NaN,
];

interface Course {
  name: string;
  shape: (random: Random) => number;
  /** Share of the steps that have a value. */
  density: number;
  /** The step it begins at. */
  begins: number;
}

/** A run's events: steps that may leap, several events at one step, control events between. */
function randomRun(random: Random, length: number): TrainerEvent[] {
  const courses: Course[] = names.map((name) => ({
    name,
    shape: oneOf(random, shapes),
    density: oneOf(random, [1, 1, 0.5, 0.03]),
    begins: random() < 0.2 ? Math.floor(length / 2) : 0,
  }));
  const leap = oneOf(random, [0.02, 0.5]);
  let step = Math.floor(random() * 5);
  return Array.from({ length }, (_, i): TrainerEvent => {
    const seq = i + 1;
    if (random() < 0.9) step += random() < leap ? Math.floor(random() * 40) : 1;
    else if (random() < 0.3)
      return { type: 'run_paused', seq, step, wallTimeMs: seq, reason: oneOf(random, ['', 'a "b"\n\\c', 'é✓𝄞', "'"]) };
    const metrics: Record<string, WireNumber> = {};
    for (const { name, shape, density, begins } of courses)
      if (step >= begins && random() < density) metrics[name] = toWireNumber(shape(random));
    const event = { ...stepEvent(seq, metrics, step), wallTimeMs: 1_700_000_000_000 + seq * random() };
    return random() < 0.2 ? ({ ...event, type: 'probe_completed' } as TrainerEvent) : event;
  });
}

async function write(runId: RunId, events: readonly TrainerEvent[], batch: number): Promise<void> {
  for (const store of [embedded, influx]) {
    await store.createRun(storedRun(runId, 1_700_000_000_123));
    for (let from = 0; from < events.length; from += batch) await store.append(runId, events.slice(from, from + batch));
  }
  expect(await influx.drained(60_000)).toBe(true);
}

/** Series as what a failed comparison can be read from; NaN and -0 count. */
async function historyOf(store: EventStore, runId: RunId, range: HistoryRange) {
  const { lastSeq, series } = await store.history(runId, range);
  const columns = [...series].map(([name, { seqs, steps, values, bucketSteps }]) => [
    name,
    { bucketSteps, points: Array.from(seqs, (seq, i) => [seq, steps[i], values[i]]) },
  ]);
  return { lastSeq, series: Object.fromEntries(columns) as Record<string, unknown> };
}

async function expectSameWindows(runId: RunId, range: WindowRange): Promise<void> {
  const [expected, got] = await Promise.all([embedded.windows(runId, range), influx.windows(runId, range)]);
  const exact = ({ fromSteps, counts, minima, maxima, lasts }: Windows) =>
    // The smallest of 0 and -0 is either.
    Object.entries({ fromSteps, counts, minima, maxima, lasts }).map(([name, column]) => [
      name,
      Array.from(column, (value) => (name === 'lasts' ? value : value + 0)),
    ]);
  expect([...got.keys()].sort()).toEqual([...expected.keys()].sort());
  for (const [metric, windows] of expected) {
    const other = got.get(metric)!;
    expect([metric, exact(other)]).toEqual([metric, exact(windows)]);
    windows.means.forEach((mean, i) => {
      // Sums of numbers that cancel out are as exact as the largest of them lets them be.
      const scale = Math.max(Math.abs(windows.minima[i]!), Math.abs(windows.maxima[i]!));
      if (!(Math.abs(other.means[i]! - mean) <= 1e-12 * scale))
        throw new Error(`${metric}, window ${i}: mean ${mean} and ${other.means[i]} (values up to ${scale})`);
    });
  }
}

describe.each([1, 2, 3, 4, 5, 6])('a random run, seed %i', (seed) => {
  const random = randomFrom(seed);
  const runId = RunId.parse(`run-${seed}`);
  const events = randomRun(random, oneOf(random, [3, 60, 500, 1000]));
  const lastStep = events.at(-1)!.step;
  const anyStep = (): number => Math.floor(random() * lastStep * 1.1);
  const ranges = [
    { fromStep: undefined, toStep: undefined },
    ...Array.from({ length: 4 }, () => ({
      fromStep: oneOf(random, [undefined, 0, anyStep()]),
      toStep: oneOf(random, [undefined, anyStep(), lastStep, 1e12]),
    })),
    { fromStep: lastStep, toStep: lastStep },
    { fromStep: lastStep + 1, toStep: undefined },
    { fromStep: 5, toStep: 4 },
  ];
  const someMetrics = (): string[] | undefined =>
    oneOf(random, [undefined, [], [oneOf(random, names)], [wallTimeSeries, ...names.filter(() => random() < 0.4)]]);

  beforeAll(() => write(runId, events, oneOf(random, [1000, 333, 50])));

  it('has the same history in both stores, whole and thinned', async () => {
    for (const range of ranges)
      for (const maxPoints of [5, 17, 100, 1000, 100_000]) {
        const asked = { ...range, metrics: someMetrics(), maxPoints };
        const expected = await historyOf(embedded, runId, asked);
        expect({ asked, ...(await historyOf(influx, runId, asked)) }).toEqual({ asked, ...expected });
      }
  });

  it('has the same last points in both stores', async () => {
    for (const metrics of [undefined, someMetrics(), someMetrics()])
      expect(await influx.lastPoints(runId, { metrics })).toEqual(await embedded.lastPoints(runId, { metrics }));
  });

  it('has the same windows in both stores', async () => {
    for (const range of ranges)
      for (const everySteps of [undefined, 1, 7, 100, lastStep + 1, 1e11])
        await expectSameWindows(runId, { ...range, metrics: someMetrics(), everySteps });
  });

  it('has the same control events, runs and last event, also for a store that opens anew', async () => {
    const answers = async (store: EventStore) => ({
      control: await storedControlEvents(store, runId),
      lastSeq: await store.lastSeq(runId),
      run: await store.run(runId),
      runs: (await store.runs()).filter((run) => run.runId === runId),
    });
    const expected = await answers(embedded);
    expect(expected.lastSeq).toBe(events.length);
    expect(await answers(influx)).toEqual(expected);
    const anew = new InfluxStore({ ...options, spoolFolder: join(folder, `anew-${seed}`) });
    expect(await answers(anew)).toEqual(expected);
    await anew.close();
  });
});

describe('both stores', () => {
  it('hold events whose steps go back, and know how far the run went', async () => {
    const runId = RunId.parse('run-back');
    const steps = [1, 2, 90, 91, 3, 92, 4, 4];
    const events = steps.map((step, i) => stepEvent(i + 1, { 'train/loss': 10 - i }, step));
    await write(runId, events, 3);
    const anew = new InfluxStore({ ...options, spoolFolder: join(folder, 'back') });
    for (const store of [influx, anew]) {
      expect(await store.run(runId)).toEqual(await embedded.run(runId));
      for (const range of [{}, { fromStep: 3 }, { toStep: 4 }])
        expect(await historyOf(store, runId, { ...range, maxPoints: 100 })).toEqual(
          await historyOf(embedded, runId, { ...range, maxPoints: 100 }),
        );
    }
    await anew.close();
  });

  it('answer alike for many metrics of which some are thinned', async () => {
    const runId = RunId.parse('run-wide');
    const random = randomFrom(7);
    const wide = Array.from({ length: 1500 }, (_, i) => `drift/layer.${i}`);
    const events = Array.from({ length: 60 }, (_, i) =>
      stepEvent(i + 1, Object.fromEntries(wide.filter((_name, n) => i < 20 || n % 2).map((name) => [name, random()]))),
    );
    await write(runId, events, 20);
    for (const maxPoints of [100, 40, 10])
      expect(await historyOf(influx, runId, { maxPoints })).toEqual(await historyOf(embedded, runId, { maxPoints }));
  });

  it('keep the same commands in the same order', async () => {
    const random = randomFrom(11);
    const runId = RunId.parse('run-commands');
    // Each goes its way from pending, some by way of being given up, and ends or does not.
    const states = ['pending', 'expired', 'applied'] as const;
    const records = states.flatMap((state) =>
      Array.from({ length: 60 }, (_, i) => i)
        .filter(() => state === 'pending' || random() < 0.6)
        .map((i) =>
          CommandRecord.parse({
            ...{ commandId: `command-${i}`, runId, action: { kind: 'pause' }, author: 'dashboard', state },
            ...{ receivedMs: 1000 + (i % 7), endedMs: state === 'pending' ? null : i },
            ...{ step: state === 'applied' ? i : null, before: { text: 'ü"\\' }, after: null },
            reason: oneOf(random, ['', 'why\nnot']),
          }),
        ),
    );
    for (const store of [embedded, influx]) for (const record of records) await store.putCommand(record);
    expect(await influx.drained(10_000)).toBe(true);
    const expected = await embedded.commands(runId);
    expect(await influx.commands(runId)).toEqual(expected);
    for (const { commandId } of expected)
      expect(await influx.command(commandId)).toEqual(await embedded.command(commandId));
  });

  it('say the same of a run without events and of one that is not there', async () => {
    const runId = RunId.parse('run-empty');
    await write(runId, [], 1);
    for (const id of [runId, RunId.parse('nowhere')]) {
      const answers = async (store: EventStore) => [
        ...[
          await store.run(id),
          await store.lastSeq(id),
          await storedControlEvents(store, id),
          await store.commands(id),
        ],
        ...[await historyOf(store, id, { maxPoints: 100 }), (await store.windows(id, {})).size],
      ];
      expect(await answers(influx)).toEqual(await answers(embedded));
    }
  });
});
