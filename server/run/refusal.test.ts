import { describe, expect, it } from 'vitest';
import { Attach } from '@plumbline/shared/socket';
import { EventBatch } from '@plumbline/shared/trainer-event';
import { toWireError } from './refusal.js';

const million = 1_000_000;
const step = (metrics: unknown): object => ({
  ...{ seq: 1, step: 1, wallTimeMs: 1, type: 'step_completed', stage: 0, metrics },
});
const evaluation = (right: unknown): object => ({
  ...{ seq: 1, step: 1, wallTimeMs: 1, type: 'evaluation_completed', stage: 0, weight: null, right },
});
const applied = (before: unknown): object => ({
  ...{ seq: 1, step: 1, wallTimeMs: 1, type: 'command_applied', commandId: 'command-1', before, after: {} },
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
    ['a long name', step({ ['a'.repeat(5 * million)]: 1 }), /metrics\.a+….*at most 200 characters/],
    ['a long name of many parts', step({ [`a${'/b'.repeat(3 * million)}`]: 1 }), /at most 200 characters/],
    ['a name that is none', step({ ' loss': 1 }), /metrics\. loss: a metric name is one line of printable text/],
    ['a name with an escape', step({ '\u001b[2J': 1 }), /metrics\.\\u001b\[2J: a metric name is/],
    ['many names that are none', step(many(200_000, 1)), /metrics: at most 55000 metrics an event/],
    ['a word for a number', step({ 'train/loss': 'nan' }), /train\/loss: a value is a number or one of the words NaN,/],
    ['a long type', { type: 'x'.repeat(5 * million) }, /events\.0\.type: /],
    ['a long name of a task', evaluation({ ['q'.repeat(5 * million)]: '1' }), /right\.q+….*at most 80 characters/],
    ['many tasks', evaluation(many(200_000, '1')), /right: at most 1000 tasks/],
    ['long answers', evaluation({ colour: '2'.repeat(5 * million) }), /right\.colour: /],
    ['many changes', applied(many(200_000, {})), /before: at most 1000 changes/],
    ['a reason that is long', { ...applied({}), type: 'command_failed', reason: 'x'.repeat(million) }, /reason: /],
  ])('is told as invalid in a few words: %s', (_, event, message) => {
    const error = told(EventBatch, { events: [event] });
    expect(error).toEqual({ code: 'invalid', retry: false, message: expect.stringMatching(message) as string });
    expect(error.message.length).toBeLessThan(1000);
  });

  it('is told in a few words: a run with a long name', () => {
    const error = told(Attach, { runId: 'x'.repeat(5 * million), run: { name: 'y'.repeat(million) }, parent: null });
    expect(error.code).toBe('invalid');
    expect(error.message.length).toBeLessThan(1000);
  });
});
