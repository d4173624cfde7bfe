import { recordOf } from '@plumbline/shared/record';
import { CommandRecord } from '@plumbline/shared/command';
import { RunId } from '@plumbline/shared/run';
import { isMetricEvent, TrainerEvent } from '@plumbline/shared/trainer-event';
import type { WireEvent } from '@plumbline/shared/wire-event';
import { describeRun } from '@plumbline/shared/built-in/described-run';
import { RunConfig } from '@plumbline/shared/built-in/run-config';
import type { EventStore, StoredRun } from '../../server/store/event-store.js';
import type { StoredEvent } from '../../server/store/protocol-1.js';
import { examplesOf, tokenShift } from './large-events.js';
import { oddNames } from './odd-names.js';

export interface SampleRun {
  run: StoredRun;
  events: StoredEvent[];
  commands: CommandRecord[];
}

/** The series of the sample, by their numbers. */
const names = [
  ...['train/loss', 'train/gradient_norm', 'shift/kl', 'drift/language_model.layers.0.mlp.up_proj'],
  ...oddNames,
];

/**
 * A run with everything that is easily lost in transfer: NaN, infinities, the smallest and largest numbers, numbers
 * with 17 digits, events without metrics, applied, failed and rejected commands, large events, text in many scripts,
 * and odd metric names.
 * @param steps number of metric events; more than a batch above 1000
 */
export function sampleRun(id: string, steps = 2500): SampleRun {
  const runId = RunId.parse(id);
  const commandId = (name: string) => `${name}-${id}`.slice(0, 64);
  const events: unknown[] = [];
  const add = (event: Record<string, unknown>) =>
    events.push({ seq: events.length + 1, wallTimeMs: 1_700_000_000_000.125 + events.length, ...event });
  const words = ['NaN', 'Infinity', '-Infinity', 5e-324, 1.7976931348623157e308, 0.1 + 0.2, -1e-7];
  add({
    type: 'run_started',
    step: 0,
    trainer: { backend: 'test', device: '', host: 'größe', processId: 1, version: '1' },
    model: {
      name: 'none',
      groups: [{ name: 'a', part: 'language', layer: 0, block: 'mlp', projection: 'up_proj', expert: 3 }],
      parameters: [{ name: 'a.weight', shape: [2, 0], size: 0, group: 'a' }],
      recipes: [{ name: 'full', label: 'Vollständig', groups: ['a'] }],
    },
    baseline: { 'shift/kl': 'NaN', 'held_out/mean/accuracy': 97.25 },
    selection: { kind: 'recipe', recipe: 'full' },
    trainable: ['a.weight'],
    series: names.map((name, number) => ({ number, name, unit: 'nats', better: 'lower', noiseFloor: 0.1 })),
  });
  for (let step = 1; step <= steps; step++) {
    const loss = step <= words.length ? words[step - 1] : Math.sin(step) / 3;
    const metrics = { 'train/loss': loss, 'train/gradient_norm': Math.sqrt(step), 'shift/kl': 1 / step };
    add({ type: 'step_completed', step, stage: step % 3, metrics: step % 11 === 0 ? {} : metrics });
    if (step === 5) add({ type: 'run_paused', step, reason: 'Schaut „hin“ \u2028\u{1F50E}, "quoted", 一行\r\nnext' });
    if (step === 5) add({ type: 'run_resumed', step });
    if (step === 6)
      add({ type: 'command_applied', step, commandId: commandId('applied'), before: {}, after: { 7: null } });
    if (step === 7) add({ type: 'command_failed', step, commandId: commandId('failed'), reason: 'zażółć, "no"' });
    if (step === 8) add({ ...tokenShift(0, step), seq: events.length + 1 });
    if (step === 9 || step === steps) add({ ...examplesOf(0, step), seq: events.length + 1 });
    if (step % 500 === 0)
      add({ type: 'probe_completed', step, stage: 0, metrics: { 'drift/language_model.layers.0.mlp.up_proj': 0.5 } });
  }
  const odd = recordOf(oddNames.map((name, i) => [name, i]));
  add({ type: 'probe_completed', step: steps, stage: 0, metrics: odd });
  add({ type: 'run_finished', step: steps });
  const command = (name: string, state: string, reason: string) =>
    CommandRecord.parse({
      commandId: commandId(name),
      runId,
      action: { kind: 'set_trainable', selection: { kind: 'pattern', pattern: 'a.*' } },
      author: 'dashboard',
      state,
      receivedMs: 20,
      endedMs: 30.5,
      step: state === 'rejected' ? null : 6,
      before: { z: 1, a: [1, { c: 2, b: null }] },
      after: null,
      reason,
    });
  return {
    run: {
      runId,
      description: describeRun(RunConfig.parse({ name: 'Přenos ✓', steps })),
      parent: null,
      state: 'finished',
      reason: '',
      trainer: null,
      createdMs: 10,
      startedMs: 11,
      endedMs: 12,
    },
    events: events.map((event) => TrainerEvent.parse(event)),
    commands: [
      command('applied', 'applied', ''),
      command('failed', 'failed', 'ß'),
      command('rejected', 'rejected', '無'),
    ],
  };
}

/** An event of the sample in its trainer's wire form. */
export function asSent(event: StoredEvent): WireEvent {
  if (!isMetricEvent(event)) return event as WireEvent;
  const { metrics, ...rest } = event;
  return { ...rest, series: Object.keys(metrics).map((name) => names.indexOf(name)), values: Object.values(metrics) };
}

/** Writes a sample into a store like a hub. */
export async function keep({ run, events, commands }: SampleRun, store: EventStore): Promise<void> {
  await store.createRun(run);
  for (let from = 0; from < events.length; from += 1000) await store.append(run.runId, events.slice(from, from + 1000));
  for (const command of commands) await store.putCommand(command);
}

/** A store's content of a run, for comparison with another store. */
export async function held(store: EventStore, runId: RunId): Promise<SampleRun> {
  const summary = (await store.run(runId))!;
  const { lastSeq, lastStep: _lastStep, ...run } = summary;
  const events: StoredEvent[] = [];
  while (events.length < lastSeq) events.push(...(await store.events(runId, events.length + 1, 1000)));
  return { run, events, commands: await store.commands(runId) };
}
