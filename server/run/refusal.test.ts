import { describe, expect, it } from 'vitest';
import { Attach } from '@plumbline/shared/socket';
import { readEvents } from './read-events.js';
import { toWireError } from './refusal.js';

const million = 1_000_000;
const step = (series: unknown, values: unknown): object => ({
  ...{ seq: 1, step: 1, wallTimeMs: 1_700_000_000_001, type: 'step_completed', stage: 0, series, values },
});
const start = (baseline: unknown): object => ({
  ...{ seq: 1, step: 1, wallTimeMs: 1_700_000_000_001, type: 'run_started', baseline, trainable: [] },
  trainer: { backend: 'x', device: '', host: 'h', processId: 1, version: '1' },
  model: { name: 'm', groups: [], parameters: [], recipes: [] },
  selection: { kind: 'recipe', recipe: 'full' },
});
const evaluation = (right: unknown): object => ({
  ...{ seq: 1, step: 1, wallTimeMs: 1_700_000_000_001, type: 'evaluation_completed', stage: 0, weight: null, right },
});
const applied = (before: unknown): object => ({
  ...{
    seq: 1,
    step: 1,
    wallTimeMs: 1_700_000_000_001,
    type: 'command_applied',
    commandId: 'command-1',
    before,
    after: {},
  },
});
const many = (count: number, value: unknown): object =>
  Object.fromEntries(Array.from({ length: count }, (_, index) => [`BAD ${index}`, value]));

/** What the sender of events, or of a first word, is told. */
function told(schema: { parse: (value: unknown) => unknown }, message: unknown): { code: string; message: string } {
  try {
    schema.parse(message);
  } catch (error) {
    return toWireError(error);
  }
  throw new Error('This was taken.');
}

describe('a message that is refused, however large what is wrong with it', () => {
  it.each([
    ['a long name', start({ ['a'.repeat(5 * million)]: 1 }), /baseline\.a+….*at most 200 characters/],
    ['a long name of many parts', start({ [`a${'/b'.repeat(3 * million)}`]: 1 }), /at most 200 characters/],
    [
      'a name that is none',
      start({ ' loss': 1 }),
      /baseline\. loss: event 1 \(run_started\): a metric name is one line/,
    ],
    ['a name with an escape', start({ '\u001b[2J': 1 }), /baseline\.\\u001b\[2J: event 1 \(run_started\): a metric/],
    ['many names that are none', start(many(200_000, 1)), /baseline: event 1 \(run_started\): at most 55000 metrics/],
    ['a word for a number', start({ 'train/loss': 'nan' }), /train\/loss: event 1 .*a value is a number or one of the/],
    [
      'many values',
      step(Array(55_001).fill(0), []),
      /series: event 1 \(step_completed\): at most 55000 series an event/,
    ],
    ['fewer values than series', step([0, 1], [1]), /values: event 1 .* series and values have the same length/],
    [
      'values by name',
      { ...step(undefined, undefined), metrics: {} },
      /series: event 1 \(step_completed\): series are a list/,
    ],
    ['nanoseconds', { ...step([], []), wallTimeMs: 1.7e18 }, /event 1 \(step_completed\): .* looks like nanoseconds/],
    ['seconds', { ...applied({}), wallTimeMs: 1.7e9 }, /event 1 \(command_applied\): .* is this in seconds\?/],
    ['a long type', { type: 'x'.repeat(5 * million) }, /events\.0\.type: /],
    ['a long name of a task', evaluation({ ['q'.repeat(5 * million)]: '1' }), /right\.q+….*at most 80 characters/],
    ['many tasks', evaluation(many(200_000, '1')), /right: event 1 \(evaluation_completed\): at most 1000 tasks/],
    ['long answers', evaluation({ colour: '2'.repeat(5 * million) }), /right\.colour: /],
    ['many changes', applied(many(200_000, {})), /before: event 1 \(command_applied\): at most 1000 changes/],
    ['a reason that is long', { ...applied({}), type: 'command_failed', reason: 'x'.repeat(million) }, /reason: /],
  ])('is told as invalid in a few words: %s', (_, event, message) => {
    const error = told({ parse: readEvents }, { events: [event] });
    expect(error).toEqual({ code: 'invalid', retry: false, message: expect.stringMatching(message) as string });
    expect(error.message.length).toBeLessThan(1000);
  });

  it('is told in a few words: a run with a long name', () => {
    const error = told(Attach, { runId: 'x'.repeat(5 * million), run: { name: 'y'.repeat(million) }, parent: null });
    expect(error.code).toBe('invalid');
    expect(error.message.length).toBeLessThan(1000);
  });
});
