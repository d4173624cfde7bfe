import { describe, expect, it } from 'vitest';
import { CommandId, type CommandRecord } from '@plumbline/shared/command';
import { RunDescription } from '@plumbline/shared/run-description';
import { RunId } from '@plumbline/shared/run';
import type { ControlEvent } from '@plumbline/shared/trainer-event';
import { notJudged } from './declared-series.js';
import type { MetricSeries } from './finding.js';
import { findings } from './findings.js';
import { commandFacts, toRunChange } from './run-change.js';

const series = (...values: number[]): MetricSeries => ({ steps: values.map((_, i) => i * 10), values });
const description = RunDescription.parse({
  name: 'foreign',
  tasks: [{ name: 'ocr', label: 'OCR', kind: 'held_out' }],
});
const run = { description, state: 'finished', parent: null } as const;
const started: ControlEvent = {
  ...{ type: 'run_started', seq: 1, step: 0, wallTimeMs: 0 },
  trainer: { backend: 'torch', device: 'cpu', host: 'h', processId: 1, version: '1' },
  model: { name: 'm', groups: [], parameters: [], recipes: [] },
  baseline: { 'held_out/ocr/accuracy': 70, 'val/AR@100': 0.5 },
  selection: { kind: 'recipe', recipe: 'full' },
  trainable: ['a', 'b'],
  series: [
    { number: 0, name: 'loss', better: 'lower' },
    { number: 1, name: 'held_out/ocr/accuracy', unit: '%', better: 'higher', noiseFloor: 1.5 },
    { number: 2, name: 'val/AR@100', better: 'higher', noiseFloor: 0.02 },
  ],
};
const measured = new Map([
  ['loss', series(3, NaN, 2, 1, 1, 1)],
  ['held_out/ocr/accuracy', series(70, 60, 50, 55, 60, 60)],
  ['val/AR@100', series(0.5, 0.49, 0.6, 0.7, 0.8, 0.8)],
]);
const commandOf = (id: string, action: CommandRecord['action']): CommandRecord => ({
  ...{ commandId: CommandId.parse(id), author: 'dashboard', runId: RunId.parse('run-1'), action, state: 'applied' },
  ...{ receivedMs: 0, endedMs: 0, step: 20, before: null, after: null, reason: '' },
});
const applied = (seq: number, id: string, step: number): ControlEvent => ({
  ...{ type: 'command_applied', seq, step, wallTimeMs: 0, commandId: CommandId.parse(id) },
  ...{ before: {}, after: {} },
});

describe('findings of a run with series of its own', () => {
  const texts = (of: ReadonlyMap<string, MetricSeries>, events: ControlEvent[], commands: CommandRecord[] = []) =>
    findings(of, events.map(toRunChange()), 1000, run, commands.map(commandFacts)).map(({ text }) => text);

  it('tell the drop of a declared series beyond its noise, and none within it', () => {
    expect(texts(measured, [started])).toEqual([
      'loss was NaN at step 10; it is finite again and ended at 1.',
      'OCR accuracy was lowest at step 20 (50 %, base 70 %, noise 1.5 pp) and ended at 60 %: 50 % recovered.',
      'No harm beyond the noise: val/AR@100.',
      'Not judged: loss (no `noiseFloor`, not in `baseline`).',
    ]);
  });

  it('list applied commands, also of a trainer that says nothing of them but that they were applied', () => {
    const events = [started, applied(2, 'command-1', 20), applied(3, 'command-2', 40)];
    const commands = [
      commandOf('command-1', { kind: 'set_trainable', selection: { kind: 'pattern', pattern: 'a.*' } }),
      commandOf('command-2', { kind: 'set_learning_rate', learningRate: 0.0001 }),
    ];
    const told = texts(measured, events, commands).filter((text) => text.startsWith('From step'));
    expect(told).toEqual([
      expect.stringMatching(
        /^From step 20 on a\.\* was trained: OCR accuracy moved by -100\.0 points per 100 steps before/,
      ),
      expect.stringMatching(/^From step 40 on the learning rate was 0\.0001: OCR accuracy moved by .*; loss moved by/),
    ]);
    const nothing = new Map([['speed', series(1, 2, 3)]]);
    expect(texts(nothing, events, commands)[0]).toContain('no series that shows what followed');
  });

  it('credit a rule also if its command is applied before the change is told', () => {
    const changed: ControlEvent = {
      ...{ type: 'trainable_changed', seq: 3, step: 20, wallTimeMs: 0, trainable: ['a'] },
      selection: { kind: 'recipe', recipe: 'sa_proj' },
    };
    const byRule = commandOf('command-1', { kind: 'set_trainable', selection: { kind: 'recipe', recipe: 'sa_proj' } });
    const told = texts(
      measured,
      [started, applied(2, 'command-1', 20), changed],
      [{ ...byRule, author: 'rule:steep' }],
    );
    expect(told.at(-1)).toMatch(/^From step 20 on sa_proj was trained \(1 tensor\) by the rule “steep”: /);
  });

  it('name a few of the series without harm and of those that cannot be judged, and count the rest', () => {
    const names = Array.from({ length: 8 }, (_, i) => `val/${i}`);
    const of = new Map(names.map((name) => [name, series(0.5, 0.6)]));
    const declaring = (facts: object): ControlEvent => ({
      ...started,
      baseline: Object.fromEntries(names.slice(1).map((name) => [name, 0.5])),
      series: names.map((name, number) => ({ number, name, better: 'higher', ...facts })),
    });
    const judged = declaring({ noiseFloor: 0.02 });
    expect(texts(of, [judged])).toEqual([
      'No harm beyond the noise: val/1, val/2, val/3, val/4, val/5, val/6 and 1 more.',
      'Not judged: val/0 (not in `baseline`).',
    ]);
    expect(texts(of, [declaring({})])).toEqual([
      'Not judged: val/0 (no `noiseFloor`, not in `baseline`), ' +
        [1, 2, 3, 4, 5].map((i) => `val/${i} (no \`noiseFloor\`)`).join(', ') +
        ' and 2 more.',
    ]);
    // Without a finite value it is unknown whether there was harm.
    const broken = new Map([['val/1', series(NaN, NaN)]]);
    expect(texts(broken, [judged])).toEqual(['Not judged: val/1 (no finite value).']);
  });

  it('are named where they cannot be made, with what they need', () => {
    const told = notJudged(measured, [started], description).map(({ text }) => text);
    expect(told).toEqual([
      'Not judged: number-token bias. The run lacks values of bias/number_tokens/held_out, bias/number_tokens/held_out ' +
        'in `baseline`, a `noiseFloor` of bias/number_tokens/held_out.',
      'Not judged: a shift of the output distribution. The run lacks values of shift/kl, a `noiseFloor` of shift/kl.',
      'Not judged: where the weights moved. The run lacks values of drift/GROUP.',
    ]);
    expect(notJudged(new Map(), [], RunDescription.parse({ name: 'x' }))[0]!.text).toMatch(
      /^Not judged: a drop of held-out accuracy\. The run lacks values of held_out\/mean\/accuracy, /,
    );
  });
});
