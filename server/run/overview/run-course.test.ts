import { describe, expect, it } from 'vitest';
import { CommandRecord } from '@plumbline/shared/command';
import { RunOverview } from '@plumbline/shared/run-list';
import type { SeriesDeclaration } from '@plumbline/shared/series';
import type { TrainerEvent } from '@plumbline/shared/trainer-event';
import type { StoredEvent } from '../../store/protocol-1.js';
import { headlinesOf } from './headline-series.js';
import { RunCourse } from './run-course.js';
import { Sparkline } from './sparkline.js';

describe('a sparkline', () => {
  it('keeps every spike and both directions in few points, whatever the length', () => {
    const sparkline = new Sparkline();
    for (let step = 1; step <= 100_000; step++)
      sparkline.add(step, step === 41_234 ? 50 : step === 77_777 ? -50 : Math.sin(step / 5000));
    const { points } = sparkline;
    expect(points.length).toBeLessThanOrEqual(32);
    expect(points.length).toBeGreaterThan(16);
    expect(points).toContainEqual({ step: 41_234, value: 50 });
    expect(points).toContainEqual({ step: 77_777, value: -50 });
    const steps = points.map(({ step }) => step);
    expect(steps).toEqual(steps.toSorted((a, b) => a - b));
  });
  it('keeps short series whole, and unmeasured values as points to mark', () => {
    const sparkline = new Sparkline();
    sparkline.add(3, 1);
    sparkline.add(9, NaN);
    expect(sparkline.points).toEqual([
      { step: 3, value: 1 },
      { step: 9, value: NaN },
    ]);
    expect(sparkline.last).toEqual({ step: 9, value: NaN });
  });
  it('keeps an overflow in the middle of a long series, beside the extremes around it', () => {
    const sparkline = new Sparkline();
    for (let step = 1; step <= 10_000; step++)
      sparkline.add(step, step === 5000 ? Number.MAX_VALUE : step === 5001 ? 50 : 1);
    const { points } = sparkline;
    expect(points.length).toBeLessThanOrEqual(48);
    expect(points).toContainEqual({ step: 5000, value: Number.MAX_VALUE });
    expect(points).toContainEqual({ step: 5001, value: 50 });
  });
});

describe('headlines', () => {
  const facts = { tasks: [], declared: new Map() };
  it('are the telling series, then those that the trainer named first', () => {
    expect(
      headlinesOf(['drift/a', 'shift/kl', 'train/loss', 'target/counting/accuracy', 'held_out/mean/accuracy'], facts),
    ).toEqual(['train/loss', 'held_out/mean/accuracy', 'shift/kl', 'target/counting/accuracy']);
    expect(headlinesOf(['eval/b', 'eval/a', 'x/y', 'x/z', 'x/q'], facts)).toEqual(['eval/b', 'eval/a', 'x/y', 'x/z']);
    const many = Array.from({ length: 40 }, (_, i) => `target/task_${i}/accuracy`);
    expect(headlinesOf(['train/loss', ...many], facts)).toHaveLength(8);
  });
  it('are what the trainer declared with a direction or as a held-out task, before labelled and bare series', () => {
    const declared = new Map(
      [
        { name: 'loss', better: 'lower' as const },
        { name: 'lr', label: 'Learning rate' },
        { name: 'val/AR@100', better: 'higher' as const },
      ].map((one) => [one.name, one]),
    );
    const tasks = [{ name: 'colour', kind: 'held_out' as const }];
    const named = ['gpu/temp', 'lr', 'loss', 'held_out/colour/accuracy', 'val/AR@100'];
    expect(headlinesOf(named, { tasks, declared })).toEqual(['loss', 'held_out/colour/accuracy', 'val/AR@100', 'lr']);
  });
});

const stepped = (seq: number, metrics: Record<string, number>): TrainerEvent => ({
  ...{ type: 'step_completed', seq, step: seq, stage: 0, wallTimeMs: 1e12, metrics },
});

describe('the course of a run', () => {
  it('grows with its events, each once, and says where some are missing', () => {
    const course = new RunCourse();
    expect(course.take([stepped(1, { 'train/loss': 3, 'my/score': 0.5 }), stepped(2, { 'train/loss': 2 })])).toBe(true);
    expect(course.take([stepped(2, { 'train/loss': 99 }), stepped(3, { 'train/loss': 1 })])).toBe(true);
    expect(course.overview).toEqual({
      lastSeq: 3,
      series: [
        { name: 'train/loss', step: 3, value: 1, steps: [1, 2, 3], values: [3, 2, 1] },
        { name: 'my/score', step: 1, value: 0.5, steps: [1], values: [0.5] },
      ],
      changes: [],
    });
    expect(course.take([stepped(5, {})])).toBe(false);
  });
  it('survives JSON with what stands for an overflow, and keeps it apart from measured values', () => {
    const course = new RunCourse();
    course.take([stepped(1, { 'train/loss': 3.00001 }), stepped(2, { 'train/loss': Number.MAX_VALUE })]);
    const read = RunOverview.parse(JSON.parse(JSON.stringify(course.overview)));
    expect(read.series).toMatchObject([{ value: Number.MAX_VALUE, steps: [1, 2], values: [3, Number.MAX_VALUE] }]);
  });
  it('has the declared series of a foreign trainer, however many others it named first', () => {
    const many = Array.from({ length: 50 }, (_, i) => ({ number: i, name: `gpu/${i}` }));
    const course = new RunCourse();
    const declared: StoredEvent = {
      ...{ type: 'series_declared', seq: 1, step: 0, wallTimeMs: 1e12 },
      series: [
        ...many,
        { number: 50, name: 'loss', better: 'lower', label: 'Training loss', unit: 'nats' },
        { number: 51, name: 'val/AR@100', better: 'higher' },
      ],
    };
    const values = Object.fromEntries(many.map(({ name }) => [name, 40]));
    expect(course.take([declared, stepped(2, { ...values, loss: 2, 'val/AR@100': 0.3 })])).toBe(true);
    expect(course.overview.series.map(({ name, label, unit }) => [name, label, unit])).toEqual([
      ['loss', 'Training loss', 'nats'],
      ['val/AR@100', undefined, undefined],
      ['gpu/0', undefined, undefined],
      ['gpu/1', undefined, undefined],
    ]);
  });
  it('is read anew where a late declaration makes a headline of a series with earlier values', () => {
    const many = Array.from({ length: 50 }, (_, i) => ({ number: i, name: `gpu/${i}` }));
    const course = new RunCourse();
    const declared = (seq: number, series: SeriesDeclaration[]): StoredEvent => ({
      ...{ type: 'series_declared', seq, step: 1, wallTimeMs: 1e12, series },
    });
    expect(course.take([declared(1, many), stepped(2, { 'gpu/49': 1 })])).toBe(true);
    expect(course.take([declared(3, [{ number: 49, name: 'gpu/49', better: 'lower' }])])).toBe(false);
  });
  it('is of bounded size, whatever a trainer sends', () => {
    const course = new RunCourse();
    for (let seq = 1; seq <= 300; seq++)
      course.take([stepped(seq, Object.fromEntries(Array.from({ length: 200 }, (_, i) => [`x${seq}/s${i}`, 1])))]);
    expect(course.overview.series.length).toBeLessThanOrEqual(8);
    expect(course.candidates.length).toBeLessThanOrEqual(16);
  });
  it('lists the newest applied changes, each once', () => {
    const course = new RunCourse();
    const changed = (i: number, state: string, kind = 'set_learning_rate'): CommandRecord =>
      CommandRecord.parse({
        ...{
          commandId: `command-${i}`,
          runId: 'run-1',
          author: 'dashboard',
          state,
          receivedMs: i,
          endedMs: 1,
          step: i,
        },
        ...{ before: { learning_rate: i }, after: { learning_rate: i + 1 }, reason: '' },
        action: kind === 'pause' ? { kind } : { kind, learningRate: 1e-4 },
      });
    course.takeCommand(changed(1, 'pending'));
    course.takeCommand(changed(2, 'applied', 'pause'));
    expect(course.overview.changes).toEqual([]);
    for (let i = 1; i <= 30; i++) course.takeCommand(changed(i, 'applied'));
    course.takeCommand(changed(30, 'applied'));
    const steps = course.overview.changes.map(({ step }) => step);
    expect(steps).toEqual(Array.from({ length: 20 }, (_, i) => i + 11));
  });
});
