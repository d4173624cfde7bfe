import { describe, expect, it } from 'vitest';
import { fromWireNumber, toWireMetrics } from './metric.js';
import { orderFault, TrainerEvent } from './trainer-event.js';
import { Command } from './command.js';
import { RunConfig } from './built-in/run-config.js';
import { RunId } from './run.js';

const step = (seq: number, metrics: Record<string, unknown>) => ({
  type: 'step_completed',
  seq,
  step: seq,
  stage: 0,
  wallTimeMs: 1,
  metrics,
});

describe('an event', () => {
  it('carries NaN and infinities through JSON', () => {
    const metrics = toWireMetrics({
      'train/loss': NaN,
      'train/gradient_norm': Infinity,
      'train/x': -Infinity,
      'train/y': 0.5,
    });
    const event = TrainerEvent.parse(JSON.parse(JSON.stringify(step(1, metrics))));
    if (event.type !== 'step_completed') throw new Error('wrong type');
    expect(Object.values(event.metrics).map(fromWireNumber)).toEqual([NaN, Infinity, -Infinity, 0.5]);
  });

  it.each([
    ['a metric without a name', step(1, { '': 1 })],
    ['a value that is text', step(1, { 'train/loss': 'low' })],
    ['a value that is null', step(1, { 'train/loss': null })],
    ['an event number of 0', step(0, {})],
    ['a fractional step', { ...step(1, {}), step: 1.5 }],
    ['an unknown type', { ...step(1, {}), type: 'step_done' }],
  ])('is none with %s', (_, event) => expect(TrainerEvent.safeParse(event).success).toBe(false));
});

describe('commands and configurations', () => {
  const command = (action: unknown) => Command.safeParse({ commandId: 'c-12345678', runId: 'run-1', action });
  it.each([0, -1, NaN, Infinity, 2, '0.1'])('refuses a learning rate of %s', (learningRate) => {
    expect(command({ kind: 'set_learning_rate', learningRate }).success).toBe(false);
    expect(RunConfig.safeParse({ name: 'x', learningRate }).success).toBe(false);
  });
  it('takes a learning rate between', () =>
    expect(command({ kind: 'set_learning_rate', learningRate: 5e-6 }).success).toBe(true));
  it('refuses an unknown command', () => expect(command({ kind: 'shutdown' }).success).toBe(false));
});

describe('the order of events', () => {
  const known = { runId: RunId.parse('run-a'), lastSeq: 4, lastStep: 7 };
  const segment = (seq: number, fromStep: number, step = fromStep) => ({
    ...{ type: 'segment_started' as const, seq, step, fromStep },
  });
  const at = (seq: number, atStep: number, type = 'run_resumed') =>
    TrainerEvent.parse({ type, seq, step: atStep, wallTimeMs: 1 });

  it('is right where steps stay or go up, whatever was said of them before', () => {
    expect(orderFault(known, [at(5, 7), at(6, 7), at(7, 9), at(8, 9, 'run_finished')])).toBeNull();
    expect(orderFault(known, [at(3, 1), at(4, 0), at(5, 7)])).toBeNull();
    expect(orderFault(known, [])).toBeNull();
  });
  it('is not where a step goes back, in a batch or behind what is stored', () => {
    expect(orderFault(known, [at(5, 6)])).toMatch(/^Event 5 of run-a is at step 6, after step 7\./);
    expect(orderFault(known, [at(4, 7), at(5, 9), at(6, 8)])).toMatch(/^Event 6 of run-a is at step 8, after step 9\./);
  });
  it('lets a segment, and nothing else, go back to a step that the run has come to', () => {
    expect(orderFault(known, [segment(5, 3), at(6, 3), at(7, 4)])).toBeNull();
    expect(orderFault(known, [segment(5, 7), segment(6, 0), at(7, 1)])).toBeNull();
    expect(orderFault(known, [segment(5, 3), at(6, 2)])).toMatch(/^Event 6 .* is at step 2, after step 3\./);
    expect(orderFault(known, [segment(5, 8)])).toMatch(/begins a segment at step 8, but the run came to step 7 only/);
    expect(orderFault(known, [segment(5, 3, 7)])).toMatch(/is at step 7: a segment begins at its fromStep, 3/);
  });
  it('lets a segment follow the last word that is stored, not one of its own batch', () => {
    const stored = at(4, 7, 'run_finished');
    expect(orderFault(known, [stored, segment(5, 3)])).toBeNull();
    expect(orderFault(known, [at(5, 7, 'run_finished'), segment(6, 3)])).toMatch(/follows the one that ends/);
  });
  it('leaves a gap to the store', () => expect(orderFault(known, [at(6, 0)])).toBeNull());
  it('is not where something follows the last word', () => {
    expect(orderFault(known, [at(5, 7, 'run_finished'), at(6, 7)])).toBe('An event follows the one that ends the run.');
  });
});
