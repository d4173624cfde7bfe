import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { toWireNumber, wallTimeSeries, type WireNumber } from '@plumbline/shared/metric';
import { recordOf } from '@plumbline/shared/record';
import { RunId } from '@plumbline/shared/run';
import { TrainerEvent, type MetricEvent } from '@plumbline/shared/trainer-event';
import { ReadAbandonedError } from '../../server/store/event-store.js';
import type { StoredEvent } from '../../server/store/protocol-1.js';
import { describeModel } from '../../server/trainer/models/parameter-roles.js';
import { oddNames } from '../support/odd-names.js';
import { mixture } from '../support/real-models.js';
import { anyEvents } from './any-event.js';
import type { StoreUnderTest } from './store-under-test.js';
import { comparable, lossEvents, runId, stepEvent, storedRun } from './stored-samples.js';
import { storedControlEvents } from '../support/stored-control-events.js';

/** Whole events, and control events apart, come back as they were. */
export function eventContract(subject: StoreUnderTest): void {
  it('returns every event that a trainer may send unchanged', async () => {
    let runs = 0;
    await fc.assert(
      fc.asyncProperty(anyEvents, async (events) => {
        const id = RunId.parse(`run-any-${++runs}`);
        await subject.store.createRun(storedRun(id));
        await subject.store.append(id, events);
        const back = await subject.store.events(id, 1, events.length);
        expect(back.map(comparable)).toEqual(events.map(comparable));
      }),
      { seed: 11, numRuns: 40 },
    );
    await subject.reopen();
    expect(await subject.store.runs()).toHaveLength(runs + 1);
  });

  it('lists control events whole and in order, apart from metrics', async () => {
    const paused: TrainerEvent = { type: 'run_paused', seq: 2, step: 1, wallTimeMs: 5, reason: 'über "quoted" ✓' };
    const finished: TrainerEvent = { type: 'run_finished', seq: 4, step: 3, wallTimeMs: 6 };
    await subject.store.append(runId, [...lossEvents(1, 1), paused, stepEvent(3, {}), finished]);
    await subject.reopen();
    expect(await storedControlEvents(subject.store, runId)).toEqual({ lastSeq: 4, events: [paused, finished] });
  });

  it('lists control events of any length in order, apart from large events among them', async () => {
    const lengths = [10, 5000, 3990, 4100, 150_000, 20, 60_000, 3_000_000, 30];
    const paused = lengths.map((length, i) => ({
      ...{ type: 'run_paused', seq: 2 * i + 1, step: 1, wallTimeMs: 5, reason: 'é'.repeat(length) },
    })) as TrainerEvent[];
    const between = lengths.map((_, i) => ({
      ...{ type: 'token_shift', seq: 2 * i + 2, step: 1, wallTimeMs: 5, prompts: 'counting' },
      tokens: [{ token: 'a', id: 1, base: 0.5, now: 0.25 }],
    })) as TrainerEvent[];
    await subject.store.append(
      runId,
      paused.flatMap((event, i) => [event, between[i]!]),
    );
    await subject.reopen();
    const { lastSeq, events } = await storedControlEvents(subject.store, runId);
    expect(lastSeq).toBe(2 * lengths.length);
    expect(events.map(({ seq }) => seq)).toEqual(paused.map(({ seq }) => seq));
    // Not a deep comparison: its message would be as long.
    expect(JSON.stringify(events) === JSON.stringify(paused)).toBe(true);
  });

  describe('whole events', () => {
    const started: TrainerEvent = {
      type: 'run_started',
      seq: 1,
      step: 0,
      wallTimeMs: 1_700_000_000_000.25,
      trainer: { backend: 'test', device: '', host: 'here', processId: 1, version: '1' },
      model: { name: 'none', groups: [], parameters: [], recipes: [] },
      baseline: { 'shift/kl': 'NaN' },
      selection: { kind: 'recipe', recipe: 'full' },
      trainable: ['b', 'a'],
    };
    const events: TrainerEvent[] = [
      started,
      stepEvent(2, { 'train/loss': 'NaN', 'train/learning_rate': 0.1, 'shift/kl': '-Infinity' }),
      stepEvent(3, {}),
      { type: 'run_paused', seq: 4, step: 3, wallTimeMs: 5, reason: 'über "quoted" \u2028 ✓\n' },
      { ...stepEvent(5, { 'shift/js': 'Infinity', 'drift/a.b-c': 5e-324 }, 3), type: 'probe_completed', stage: 7 },
      { type: 'run_finished', seq: 6, step: 3, wallTimeMs: 6 },
    ] as TrainerEvent[];

    it('come back as they were, in order, with metrics sorted by name', async () => {
      await subject.store.append(runId, events);
      await subject.reopen();
      const found = await subject.store.events(runId, 1, 1000);
      expect(found).toEqual(events);
      expect(Object.keys((found[1] as MetricEvent).metrics)).toEqual(['shift/kl', 'train/learning_rate', 'train/loss']);
    });

    it('have metrics of any name, each a series of its own', async () => {
      const values = (seq: number): [string, WireNumber][] =>
        oddNames.map((name, i) => [name, (i + seq) % 5 === 0 ? 'NaN' : i + seq]);
      const odd = [1, 2, 3].map((seq) => stepEvent(seq, recordOf(values(seq))));
      await subject.store.append(runId, odd);
      await subject.reopen();
      const found = (await subject.store.events(runId, 1, 1000)) as MetricEvent[];
      for (const [i, { metrics }] of found.entries())
        expect(new Map(Object.entries(metrics))).toEqual(new Map(values(i + 1)));
      const all = (await subject.store.history(runId, { maxPoints: 100 })).series;
      expect([...all.keys()].sort()).toEqual([wallTimeSeries, ...oddNames].sort());
      const names = oddNames.filter((_, i) => i % 3 === 0);
      const few = (await subject.store.history(runId, { metrics: names, maxPoints: 100 })).series;
      expect([...few.keys()].sort()).toEqual([...names].sort());
      for (const [name, { values: course }] of few)
        expect([...course].map(toWireNumber)).toEqual([1, 2, 3].map((seq) => new Map(values(seq)).get(name)));
      const windows = await subject.store.windows(runId, { metrics: ['__proto__', 'constructor', 'a,b=c d\\e'] });
      expect(windows.size).toBe(3);
    });

    it('come from the number asked for, no more than asked for, and none past the last', async () => {
      await subject.store.append(runId, events);
      expect(await subject.store.events(runId, 3, 2)).toEqual(events.slice(2, 4));
      expect(await subject.store.events(runId, 5, 1000)).toEqual(events.slice(4));
      expect(await subject.store.events(runId, 7, 1000)).toEqual([]);
      expect(await subject.store.events(RunId.parse('nowhere'), 1, 1000)).toEqual([]);
    });

    it('are not read for a client that is gone', async () => {
      await subject.store.append(runId, lossEvents(1, 3));
      const gone = AbortSignal.abort(new ReadAbandonedError('The reader is gone.'));
      await expect(subject.store.events(runId, 1, 1000, gone)).rejects.toThrow(ReadAbandonedError);
    });

    it('come in smaller pages where they are large, and all of them in the end', async () => {
      const metrics = Object.fromEntries(Array.from({ length: 1000 }, (_, i) => [`drift/group.${i}`, i]));
      const long = 'reason '.repeat(70_000);
      const large = [
        ...Array.from({ length: 120 }, (_, i) => stepEvent(i + 1, metrics)),
        ...Array.from({ length: 8 }, (_, i) => ({
          ...{ type: 'run_paused', seq: 121 + i, step: 120, wallTimeMs: 5, reason: long },
        })),
      ] as TrainerEvent[];
      await subject.store.append(runId, large.slice(0, 60));
      await subject.store.append(runId, large.slice(60));
      const pages: StoredEvent[][] = [];
      for (let next = 1; next <= large.length; next += pages.at(-1)!.length) {
        pages.push(await subject.store.events(runId, next, 1000));
        expect(pages.at(-1)).not.toEqual([]);
      }
      // Values, and characters of control events, of the largest page.
      const valuesOf = (page: StoredEvent[]) => page.filter(({ type }) => type === 'step_completed').length * 1000;
      const textOf = (page: StoredEvent[]) => page.filter(({ type }) => type === 'run_paused').length * long.length;
      expect(Math.max(...pages.map(valuesOf))).toBeLessThanOrEqual(60_000);
      expect(Math.max(...pages.map(textOf))).toBeLessThanOrEqual(5 * 2 ** 20);
      expect(pages.flat().map(({ seq }) => seq)).toEqual(large.map(({ seq }) => seq));
      expect((pages[0]![0] as MetricEvent).metrics['drift/group.999']).toBe(999);
    });

    it('are those of the run asked for, whatever other runs hold under the same numbers and names', async () => {
      const other = RunId.parse('run-b');
      await subject.store.append(runId, lossEvents(1, 3));
      await subject.store.append(other, [stepEvent(1, { 'train/loss': 9, 'shift/kl': 1 }), stepEvent(2, {})]);
      await subject.store.append(runId, lossEvents(4, 5));
      expect(await subject.store.events(runId, 1, 1000)).toEqual(lossEvents(1, 5));
      expect(await subject.store.events(other, 1, 1)).toEqual([stepEvent(1, { 'train/loss': 9, 'shift/kl': 1 })]);
    });
  });

  it('gives the events of a run with segments in order of their number, in pages of any size', async () => {
    const segment = (seq: number, fromStep: number): TrainerEvent => ({
      ...{ type: 'segment_started', seq, step: fromStep, fromStep, wallTimeMs: 1_700_000_000_000 + seq },
    });
    // Some steps far apart, some not, and each segment over the one before.
    const steps = [1, 2, 3, 100, 200, 300, 301, 302];
    const events = [0, 1, 2].flatMap((part) => [
      ...(part > 0 ? [segment(9 * part, 2)] : []),
      ...steps.map((step, i) => stepEvent(9 * part + i + 1, { 'train/loss': part }, step + part)),
    ]);
    await subject.store.append(runId, events);
    for (const limit of [1, 3, 7, 1000]) {
      const read: StoredEvent[] = [];
      for (let page = [events[0] as StoredEvent]; page.length > 0; read.push(...page)) {
        page = await subject.store.events(runId, read.length + 1, limit);
        expect(page.length).toBeLessThanOrEqual(limit);
      }
      expect(read).toEqual(events);
    }
    expect(await subject.store.events(runId, 12, 2)).toEqual(events.slice(11, 13));
  });

  it('gives a start of protocol 1 back as it came, and tells readers of roles and recipes', async () => {
    const group = 'language_model.layers.3.mlp.experts.1.up_proj';
    const old = {
      ...{ type: 'run_started', seq: 1, step: 0, wallTimeMs: 5, baseline: {}, trainable: [] },
      trainer: { backend: 'test', device: '', host: 'here', processId: 1, version: '1' },
      model: { name: 'm', parameters: [{ name: `${group}.weight`, shape: [2], size: 2, group }] },
      selection: { kind: 'recipe', recipe: 'mlp_gate_up' },
    } as StoredEvent;
    await subject.store.append(runId, [old]);
    await subject.reopen();
    expect(await subject.store.events(runId, 1, 1000)).toEqual([old]);
    const [started] = (await storedControlEvents(subject.store, runId)).events;
    const texts: string[] = [];
    await subject.store.eachControlEvents(runId, (part) => void texts.push(...part));
    expect(texts.map((text) => JSON.parse(text) as unknown)).toEqual([started]);
    expect(started).toMatchObject({
      model: {
        ...(old as { model: object }).model,
        groups: [{ name: group, part: 'language', layer: 3, block: 'mlp', projection: 'up_proj', expert: 1 }],
        recipes: [
          { name: 'full', label: 'Full', groups: [group] },
          { name: 'mlp', label: 'MLP', groups: [group] },
          { name: 'mlp_gate_up', label: 'MLP Gate & Up', groups: [group] },
          { name: 'none', label: 'None', groups: [] },
        ],
      },
    });
    expect(TrainerEvent.safeParse(started).success).toBe(true);
  });

  it('gives long control events in parts of about two megabytes, over segments', async () => {
    const changed = (seq: number, step: number): TrainerEvent => ({
      ...{ type: 'trainable_changed', seq, step, wallTimeMs: 1_700_000_000_000 + seq },
      selection: { kind: 'pattern', pattern: '*' },
      trainable: Array.from({ length: 18_000 }, (_, i) => `${seq}.model.layers.${i}.mlp.down_proj.weight`),
    });
    const segment: TrainerEvent = { type: 'segment_started', seq: 5, step: 0, fromStep: 0, wallTimeMs: 1 };
    const events = [
      ...[1, 2, 3, 4].map((seq) => changed(seq, seq)),
      segment,
      ...[6, 7, 8].map((n) => changed(n, n - 5)),
    ];
    const lengths = new Map(events.map((event) => [event.seq, JSON.stringify(event).length]));
    expect(lengths.get(1)).toBeGreaterThan(700_000);
    for (const event of events) await subject.store.append(runId, [event]);
    const parts: number[][] = [];
    await subject.store.eachControlEvents(runId, (texts) => {
      for (const text of texts) expect(text.length).toBe(lengths.get((JSON.parse(text) as TrainerEvent).seq));
      parts.push(texts.map((text) => (JSON.parse(text) as TrainerEvent).seq));
    });
    expect(parts.flat()).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    for (const part of parts)
      expect(part.reduce((bytes, seq) => bytes + lengths.get(seq)!, 0)).toBeLessThanOrEqual(2 * 2 ** 20);
  });

  it('gives more control events than one query reads in order of their numbers, over segments', async () => {
    const wallTimeMs = 1_700_000_000_000;
    const paused = (seq: number, step: number) =>
      ({ type: 'run_paused', seq, step, wallTimeMs: wallTimeMs + seq, reason: `at ${step}` }) satisfies TrainerEvent;
    // Steps 1 to 600; again from 300 on up to 900; again from 10 on up to 20.
    const events: TrainerEvent[] = Array.from({ length: 600 }, (_, i) => paused(i + 1, i + 1));
    const segment = (fromStep: number, toStep: number): void => {
      const seq = events.length + 1;
      events.push({ type: 'segment_started', seq, step: fromStep, fromStep, wallTimeMs: wallTimeMs + seq });
      for (let step = fromStep + 1; step <= toStep; step++) events.push(paused(events.length + 1, step));
    };
    segment(300, 900);
    segment(10, 20);
    await subject.store.append(runId, events);
    await subject.reopen();
    const seqs: number[] = [];
    const take = (texts: readonly string[]): void =>
      void seqs.push(...texts.map((text) => (JSON.parse(text) as TrainerEvent).seq));
    await subject.store.eachControlEvents(runId, take);
    expect(seqs).toEqual(events.map(({ seq }) => seq));
  });

  it('keeps a model of 18,867 parameters and the drift of each of its groups', async () => {
    const model = describeModel('a mixture of experts', mixture());
    const start = TrainerEvent.parse({
      ...{ type: 'run_started', seq: 1, step: 0, wallTimeMs: 5, baseline: {}, model },
      trainer: { backend: 'test', device: '', host: 'here', processId: 1, version: '1' },
      selection: { kind: 'recipe', recipe: 'full' },
      trainable: model.parameters.map(({ name }) => name),
    });
    const drifts = Object.fromEntries(model.groups.map(({ name }, index) => [`drift/${name}`, index / 7]));
    const probe = { ...stepEvent(2, drifts, 0), type: 'probe_completed' } as TrainerEvent;
    await subject.store.append(runId, [start]);
    await subject.store.append(runId, [probe]);
    await subject.reopen();
    // As text: a deep comparison of so much takes minutes.
    expect(JSON.stringify((await storedControlEvents(subject.store, runId)).events) === JSON.stringify([start])).toBe(
      true,
    );
    const outlines: string[] = [];
    await subject.store.eachControlEvents(runId, (texts) => void outlines.push(...texts), { isOutline: true });
    const outline = { ...start, model: { ...model, parameters: [], recipes: [] } };
    expect(outlines.join() === JSON.stringify(outline)).toBe(true);
    const { series } = await subject.store.history(runId, { maxPoints: 5 });
    expect(series.size).toBe(model.groups.length);
    expect(series.get(`drift/${model.groups[700]!.name}`)!.values).toEqual(Float64Array.of(100));
  });
}
