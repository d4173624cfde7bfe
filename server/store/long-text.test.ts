import { expect, it } from 'vitest';
import { TrainerEvent, type ControlEvent } from '@plumbline/shared/trainer-event';
import { describeModel } from '../trainer/models/parameter-roles.js';
import { mixture } from '../../test/support/real-models.js';
import { LongText } from './long-text.js';
import { textParts } from './text-parts.js';

const odd = 'a "quoted" ]},\\"baseline\\":{ "parameters":[ name';
const started = TrainerEvent.parse({
  ...{ type: 'run_started', seq: 1, step: 0, wallTimeMs: 5 },
  trainer: { backend: odd, device: '', host: 'here', processId: 1, version: '1' },
  model: describeModel('mixture', mixture()),
  baseline: { 'shift/kl': 1 },
  selection: { kind: 'recipe', recipe: 'full' },
  trainable: ['b', 'a'],
  series: [{ number: 0, name: 'train/loss', label: odd }],
}) as Extract<ControlEvent, { type: 'run_started' }>;

/** Puts a text together from parts of a length. */
function outlineOf(text: string, partLength: number): string {
  const outline = new LongText(true);
  for (const part of textParts(text, partLength)) outline.add(part);
  return outline.toString();
}

it.each([4000, 100_000_000])(
  'the outline of a model lacks its parameters and recipes, and nothing else (%i)',
  (length) => {
    const text = JSON.stringify(started);
    expect(text.length).toBeGreaterThan(1_000_000);
    expect(started.model.recipes.length).toBeGreaterThan(3);
    const outline = { ...started, model: { ...started.model, parameters: [], recipes: [] } };
    expect(outlineOf(text, length) === JSON.stringify(outline)).toBe(true);
  },
);

it('marks are found wherever parts begin', () => {
  const eventWith = (parameters: unknown[]): string =>
    JSON.stringify({ ...started, model: { name: odd, groups: [], parameters, recipes: [] } });
  const text = eventWith([{ name: odd, shape: [1], size: 1, group: odd }]);
  for (let length = 1; length < 200; length++) expect(outlineOf(text, length)).toBe(eventWith([]));
});

it.each([
  ['an event without a model', JSON.stringify({ type: 'trainable_changed', trainable: [odd, odd] })],
  ['a model without recipes, as older versions stored it', '{"model":{"parameters":[{"name":"a"}]},"baseline":{}}'],
  ['a text that ends early', '{"model":{"parameters":[{"name":"a"}],"recipes":[{"name":"full"'],
])('the outline of %s is the whole text', (_, text) => {
  for (const length of [1, 7, 4000]) expect(outlineOf(text, length) === text).toBe(true);
});
