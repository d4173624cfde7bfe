import { expect, it } from 'vitest';
import { checkpointsOf, eventsInForce, inForce, undoneCommands } from './segments.js';
import { Rng } from './rng.js';
import { isSuperseded } from './run.js';
import type { ControlEvent } from './trainer-event.js';

const event = (type: string, seq: number, step: number, more: object = {}): ControlEvent =>
  ({ type, seq, step, wallTimeMs: 1_700_000_000_000, ...more }) as ControlEvent;
const saved = (seq: number, step: number) =>
  event('checkpoint_saved', seq, step, { checkpointId: `step-${step}`, bytes: 1, digest: 'sha256:0' });

it('a segment undoes the checkpoints behind it, but no declaration and no removal of files', () => {
  const events = [
    ...[saved(1, 50), saved(2, 100), event('series_declared', 3, 150, { series: [] }), saved(4, 200)],
    event('checkpoint_removed', 5, 200, { checkpointId: 'step-50' }),
    event('segment_started', 6, 100, { fromStep: 100, checkpointId: 'step-100' }),
  ];
  expect(eventsInForce(events).map(({ seq }) => seq)).toEqual([1, 2, 3, 5, 6]);
  expect(checkpointsOf(events).map(({ checkpointId }) => checkpointId)).toEqual(['step-100']);
});

it('a segment undoes the changes after its checkpoint was saved, also at the same step', () => {
  const applied = (seq: number, step: number) => event('command_applied', seq, step, { commandId: `command-${seq}` });
  const events = [
    ...[applied(1, 100), saved(2, 100), applied(3, 100), event('trainable_changed', 4, 100), applied(5, 200)],
    event('segment_started', 6, 100, { fromStep: 100, checkpointId: 'step-100' }),
    applied(7, 150),
  ];
  expect(eventsInForce(events).map(({ seq }) => seq)).toEqual([1, 2, 6, 7]);
  expect([...undoneCommands(events)]).toEqual(['command-3', 'command-5']);
});

/** The definition of `inForce`: looks at every segment for every event. */
function inForceByDefinition(events: readonly ControlEvent[]): (event: ControlEvent) => boolean {
  const segments = events.flatMap((segment, index) => {
    if (segment.type !== 'segment_started') return [];
    const { fromStep, checkpointId } = segment;
    const save = events
      .slice(0, index)
      .findLast((before) => before.type === 'checkpoint_saved' && before.checkpointId === checkpointId);
    const start = fromStep === 0 ? 0 : undefined;
    return [{ ...segment, savedSeq: checkpointId === undefined ? start : save?.seq }];
  });
  const lasting = ['run_started', 'run_described', 'series_declared', 'checkpoint_removed'];
  const changing = ['command_applied', 'trainable_changed'];
  return ({ type, seq, step }) =>
    lasting.includes(type) ||
    (!isSuperseded(segments, { seq, step }) &&
      !(
        changing.includes(type) &&
        segments.some(({ seq: next, savedSeq }) => savedSeq !== undefined && savedSeq < seq && seq < next)
      ));
}

/** A log with segments that go back to checkpoints, to steps without one, to the start, or to unknown checkpoints. */
function randomLog(length: number, segments: number, rng: Rng): ControlEvent[] {
  const saves: number[] = [];
  let step = 0;
  const types = ['command_applied', 'trainable_changed', 'evaluation_completed', 'series_declared', 'run_paused'];
  return Array.from({ length }, (_, index) => {
    const seq = index + 1;
    if (rng.uniform() < segments / length) {
      const kind = rng.integer(10);
      step = kind === 0 ? 0 : (saves.at(-1 - rng.integer(3)) ?? 0);
      const checkpointId = kind === 0 || kind === 1 ? undefined : kind === 2 ? 'step-unknown' : `step-${step}`;
      return event('segment_started', seq, step, { fromStep: step, ...(checkpointId && { checkpointId }) });
    }
    if (rng.uniform() < 0.05) saves.push(step);
    else return event(types[rng.integer(types.length)]!, seq, rng.uniform() < 0.5 ? step : ++step);
    return saved(seq, step);
  });
}

it('keeps what looking at every segment for every event keeps', () => {
  for (let seed = 1; seed <= 200; seed++) {
    const events = randomLog(200, 8, new Rng(seed));
    expect([seed, eventsInForce(events)]).toEqual([seed, events.filter(inForceByDefinition(events))]);
  }
});

it('keeps the same of 100,000 events with 1,000 segments', () => {
  const events = randomLog(100_000, 1000, new Rng(7));
  expect(events.filter(({ type }) => type === 'segment_started').length).toBeGreaterThan(900);
  const [isInForce, byDefinition] = [inForce(events), inForceByDefinition(events)];
  const sample = events.filter((_, index) => index % 10 === 0);
  expect(sample.filter(isInForce)).toEqual(sample.filter(byDefinition));
});
