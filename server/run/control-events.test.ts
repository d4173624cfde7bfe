import { expect, it } from 'vitest';
import { TrainerEvent, type ControlEvent } from '@plumbline/shared/trainer-event';
import { describeModel } from '../trainer/models/parameter-roles.js';
import { mixture } from '../../test/support/real-models.js';
import { Turn } from '../turn.js';
import { outlineOf } from './control-events.js';

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

it('the outline of a long event lacks the parameters and recipes of its model, and nothing else', async () => {
  const text = JSON.stringify(started);
  expect(text.length).toBeGreaterThan(1_000_000);
  expect(started.model.recipes.length).toBeGreaterThan(3);
  expect(await outlineOf(text, new Turn())).toEqual({
    ...started,
    model: { ...started.model, parameters: [], recipes: [] },
  });
});

it('the outline of a short event is the event', async () => {
  const model = { name: odd, groups: [{ name: odd, part: 'other' as const }], parameters: [], recipes: [] };
  const short = { ...started, model: { ...model, parameters: [{ name: odd, shape: [1], size: 1, group: odd }] } };
  expect(await outlineOf(JSON.stringify(short), new Turn())).toEqual(short);
});

it('the outline of a long event without a model is the event', async () => {
  const event: ControlEvent = {
    ...{ type: 'trainable_changed', seq: 2, step: 1, wallTimeMs: 5, selection: { kind: 'groups', groups: [] } },
    trainable: Array.from({ length: 20_000 }, (_, i) => `${odd} ${i}`),
  };
  expect(await outlineOf(JSON.stringify(event), new Turn())).toEqual(event);
});
