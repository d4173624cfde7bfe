import { expect, it } from 'vitest';
import { checkpointsOf, eventsInForce } from './segments.js';
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
