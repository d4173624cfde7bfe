import { describe, expect, it } from 'vitest';
import { builtInDeclaration } from '@plumbline/shared/built-in/series';
import { CommandId, type CommandRecord } from '@plumbline/shared/command';
import { describeRun } from '@plumbline/shared/built-in/described-run';
import { RunConfig } from '@plumbline/shared/built-in/run-config';
import { RunId } from '@plumbline/shared/run';
import type { ControlEvent } from '@plumbline/shared/trainer-event';
import type { MetricSeries } from './finding.js';
import { correlation, findings as findingsOf } from './findings.js';
import { commandFacts, toRunChange } from './run-change.js';
import { slope } from './slope.js';

/** Findings from whole events and commands. */
const findings = (
  of: ReadonlyMap<string, MetricSeries>,
  events: readonly ControlEvent[],
  questionsPerTask: number,
  run: Parameters<typeof findingsOf>[3],
  commands: readonly CommandRecord[] = [],
) => findingsOf(of, events.map(toRunChange()), questionsPerTask, run, commands.map(commandFacts));
const series = (...values: number[]): MetricSeries => ({ steps: values.map((_, i) => i * 10), values });
/** The start of the built-in trainer, with 100 questions per task. */
const started = (baseline: Record<string, number>): ControlEvent => ({
  type: 'run_started',
  seq: 1,
  step: 0,
  wallTimeMs: 0,
  trainer: { backend: 'wasm', device: 'cpu', host: 'h', processId: 1, version: '1' },
  model: { name: 'm', groups: [], parameters: [], recipes: [] },
  baseline,
  selection: { kind: 'recipe', recipe: 'full' },
  trainable: [],
  series: [...Object.keys(baseline), 'shift/kl'].map((name, number) => ({
    number,
    ...builtInDeclaration(name, { 'probe/questions_per_task': 100, ...baseline }),
  })),
});
const ended = { description: describeRun(RunConfig.parse({ name: 'x' })), state: 'finished', parent: null } as const;
const changed = (step: number): ControlEvent => ({
  type: 'trainable_changed',
  seq: 2,
  step,
  wallTimeMs: 0,
  selection: { kind: 'recipe', recipe: 'sa_proj' },
  trainable: ['a'],
});

describe('correlation', () => {
  it('is -1 for two opposite lines, paired by step', () => {
    expect(correlation(series(3, 2, 1), series(10, 20, 30))).toBeCloseTo(-1, 12);
    const everyOther = { steps: [0, 20, 40], values: [1, 3, 5] };
    expect(correlation(everyOther, series(1, 99, 3, 99, 5))).toBeCloseTo(1, 12);
  });
  it('equals a value computed by hand: (1,2,3) and (1,3,2) give 0.5', () => {
    expect(correlation(series(1, 2, 3), series(1, 3, 2))).toBeCloseTo(0.5, 12);
  });
  it('is NaN where it is undefined', () => {
    expect(correlation(series(1, 2), series(1, 2))).toBeNaN();
    expect(correlation(series(1, 1, 1), series(1, 2, 3))).toBeNaN();
  });
});

describe('slope', () => {
  it('passes over what stands for an overflow', () => {
    const series = { steps: [0, 1, 2, 3], values: [1, Number.MAX_VALUE, 3, 4] };
    expect(slope(series, 0, 10)).toBe(1);
  });
  it('fits the window only', () => {
    expect(slope(series(0, 10, 20, 0, 0), 0, 30)).toBeCloseTo(1, 12);
    expect(slope(series(0, 10), 0, 10)).toBeNaN();
  });
});

describe('findings', () => {
  const base = { 'held_out/mean/accuracy': 90, 'held_out/colour/accuracy': 95, 'bias/number_tokens/held_out': 0 };
  const run = new Map([
    ['held_out/mean/accuracy', series(90, 70, 50, 60, 70)],
    ['held_out/colour/accuracy', series(95, 60, 40, 50, 65)],
    ['bias/number_tokens/held_out', series(0, 0.2, 0.4, 0.3, 0.2)],
    ['shift/kl', series(0, 0.3, 0.8, 0.4, 0.2)],
    ['drift/language_model.layers.0.mlp.up_proj', series(0, 0.1, 0.2, 0.2, 0.2)],
    ['drift/vision_tower', series(0, 0, 0, 0, 0)],
    ['energy/joules', series(0, 1000, 2000, 3000, 7200)],
  ]);

  it('describe drop, recovery, bias and their relation', () => {
    const told = new Map(findings(run, [started(base)], 100, ended).map((finding) => [finding.kind, finding]));
    expect(told.get('held_out_drop')).toMatchObject({
      step: 20,
      values: { worst: -40, end: -20, recoveredPercent: 50 },
    });
    expect(told.get('held_out_drop')!.text).toContain('Colour (-30.0 points)');
    expect(told.get('bias_drift')).toMatchObject({ step: 20, values: { worst: 0.4, end: 0.2, recoveredPercent: 50 } });
    expect(told.get('output_shift')).toMatchObject({ step: 20, values: { worst: 0.8, end: 0.2, noise: 0.04 } });
    expect(told.get('output_shift')!.text).toContain('75 % recovered');
    expect(told.get('drop_follows_bias')!.values['correlation']).toBeCloseTo(-1, 10);
    expect(told.get('weight_drift')).toMatchObject({
      text: 'Weights moved most in language_model.layers.0.mlp.up_proj (20.0 %).',
      values: { 'language_model.layers.0.mlp.up_proj': 0.2 },
    });
  });
  it('names the worst held-out task, also one whose name has a slash', () => {
    const name = 'held_out/vqa/en/accuracy';
    const found = findings(new Map([...run, [name, series(90, 5)]]), [started({ ...base, [name]: 90 })], 100, ended);
    expect(found.find(({ kind }) => kind === 'held_out_drop')!.text).toContain(
      'the worst task at the end is vqa/en (-85.0 points)',
    );
  });
  it('name where the weights moved, by the roles that the trainer gave', () => {
    const begun = started(base) as Extract<ControlEvent, { type: 'run_started' }>;
    begun.model.groups = [
      { name: 'a', part: 'language', layer: 12, block: 'mlp', projection: 'up_proj' },
      { name: 'b', part: 'vision', layer: 3, block: 'norms' },
      { name: 'c', part: 'language', layer: 0, block: 'mlp', projection: 'gate_proj', expert: 7 },
    ];
    const drift = new Map([
      ['drift/a', series(0, 0.2)],
      ['drift/b', series(0, 0.1)],
      ['drift/c', series(0, 0.3)],
    ]);
    expect(findings(drift, [begun], 100, ended)[0]!.text).toBe(
      'Weights moved most in layer 0 expert 7 gate_proj (30.0 %), layer 12 up_proj (20.0 %), vision layer 3 norms (10.0 %).',
    );
  });
  it('say "so far" for a run that goes on, and nothing about its end', () => {
    const texts = findings(run, [started(base)], 100, { ...ended, state: 'running' }).map(({ text }) => text);
    expect(texts.filter((text) => / end(ed)?\b/.test(text))).toEqual([]);
    expect(texts.filter((text) => text.includes('so far'))).toHaveLength(3);
    expect(texts.at(-1)).toMatch(/^The run has taken 2 Wh so far/);
    expect(texts.join('\n')).toMatch(/and 20\.0 % now: 50 % recovered/);
    expect(texts[0]).toContain('is at -20.0 points so far: 50 % recovered; the worst task so far is Colour');
  });
  it('describe what an intervention changed, per 100 steps', () => {
    const told = findings(run, [started(base), changed(20)], 100, ended).find(({ kind }) => kind === 'intervention')!;
    expect(told.step).toBe(20);
    expect(told.values['before']).toBeCloseTo(-200, 8);
    expect(told.values['after']).toBeCloseTo(100, 8);
  });
  const applied = (
    step: number,
    before: Extract<ControlEvent, { type: 'command_applied' }>['before'],
    after: typeof before,
  ): ControlEvent => ({
    ...{ type: 'command_applied', seq: 3, step, wallTimeMs: 0 },
    ...{ commandId: CommandId.parse('command-1'), before, after },
  });
  it('describe a change of the learning rate, together with other changes at that step', () => {
    const slower = applied(20, { learning_rate: 0.1 }, { learning_rate: 0.1 * 3 });
    const told = findings(run, [started(base), changed(20), slower], 100, ended).filter(
      ({ kind }) => kind === 'intervention',
    );
    expect(told.map(({ text }) => text)).toEqual([
      'From step 20 on sa_proj was trained (1 tensor) and the learning rate was 0.3 instead of 0.1: held-out accuracy ' +
        'moved by -200.0 points per 100 steps before and by +100.0 points after.',
    ]);
    const [alone] = findings(run, [started(base), slower], 100, ended).filter(({ kind }) => kind === 'intervention');
    expect(alone!.values['before']).toBeCloseTo(-200, 8);
    expect(alone!.text).toContain('the learning rate was 0.3 instead of 0.1');
  });
  it('credit nothing to a command that changed nothing', () => {
    const idle = applied(20, { learning_rate: 0.1 }, { learning_rate: 0.1 });
    const twice = [started(base), changed(10), changed(30), applied(40, { paused: true }, { paused: true })];
    const told = (...events: ControlEvent[]) =>
      findings(run, events, 100, ended).filter(({ kind }) => kind === 'intervention');
    expect(told(started(base), idle)).toEqual([]);
    // The second repeats the current selection, and does not end the window of the first.
    expect(told(...twice).map(({ step }) => step)).toEqual([10]);
    expect(told(...twice)).toEqual(told(started(base), changed(10)));
  });
  it('hold no names of tensors or groups', () => {
    const names = ['a', 'b'];
    const selection = { kind: 'groups' as const, groups: names };
    const again = { ...changed(30), selection, trainable: names } as ControlEvent;
    const [, first, second] = [started(base), again, again].map(toRunChange());
    expect(first).toMatchObject({ step: 30, set: '2 groups were trained', tensors: 2, isRepeat: false });
    expect(second).toMatchObject({ isRepeat: true });
    expect(first).not.toHaveProperty('trainable');
    const action: CommandRecord['action'] = { kind: 'set_trainable', selection };
    const record = { commandId: CommandId.parse('command-1'), author: 'dashboard', action } as CommandRecord;
    expect(commandFacts(record)).toEqual({
      ...{ commandId: 'command-1', author: 'dashboard', kind: 'set_trainable', set: '2 groups were trained' },
    });
  });
  describe('in a sequence of skills', () => {
    const description = describeRun(RunConfig.parse({ name: 'x', tasks: ['counting', 'clock'], steps: 50 }));
    const course = new Map([['held_out/mean/accuracy', series(90, 80, 70, 72, 74, 76, 50, 20, 20, 20)]]);
    const told = (...events: ControlEvent[]) =>
      findings(course, [started({}), ...events], 100, { ...ended, description }).filter(
        ({ kind }) => kind === 'intervention',
      );

    it('credit a change only with effects in its own stage', () => {
      expect(told(changed(20))).toMatchObject([{ values: { before: -100, after: 20 } }]);
      const [next] = told(changed(70));
      expect(next!.values['before']).toBeCloseTo(-280, 8);
      expect(next!.values['after']).toBeCloseTo(0, 8);
      expect(next!.text).toMatch(/before and by \S+ points after, both within the stage\.$/);
    });
    it('compare the two stages around a change between them', () => {
      const [between] = told(changed(50));
      expect(between!.values['after']).toBeLessThan(-100);
      expect(between!.values['before']).toBeGreaterThan(-50);
    });
    it('say that a change with too few probes around it cannot be judged', () => {
      expect(told(changed(49))).toEqual([
        {
          ...{ kind: 'intervention', step: 49, values: {} },
          text:
            'From step 49 on sa_proj was trained (1 tensor); too few probes lie before or after it within the stage ' +
            'to say how held-out accuracy moved.',
        },
      ]);
    });
  });
  it('name the rule behind a change', () => {
    const record = (commandId: CommandId, author: string): CommandRecord => ({
      ...{ commandId, author, runId: RunId.parse('run-1'), action: { kind: 'pause' }, state: 'applied' },
      ...{ receivedMs: 0, endedMs: 0, step: 20, before: null, after: null, reason: '' },
    });
    const commandId = CommandId.parse('command-1');
    const events = [
      started(base),
      changed(20),
      applied(20, { selection: 'full' }, { selection: 'sa_proj' }),
      applied(20, { learning_rate: 0.2 }, { learning_rate: 0.1 }),
      applied(40, { paused: false }, { paused: true }),
    ];
    const texts = (author: string): string[] =>
      findings(run, events, 100, ended, [record(commandId, author)]).flatMap(({ kind, text }) =>
        kind === 'intervention' ? [text] : [],
      );
    expect(texts('rule:steep drop')).toEqual([
      expect.stringMatching(
        /^From step 20 on sa_proj was trained \(1 tensor\) by the rule “steep drop” and the learning rate was 0\.1 instead of 0\.2 by the rule “steep drop”: /,
      ),
      'At step 40 training was paused by the rule “steep drop”.',
    ]);
    // Changes by people are not credited to rules, and a person's pause is no finding.
    expect(texts('dashboard')).toEqual([expect.not.stringContaining('by the rule')]);
  });
  it('say where training continued after going back to a checkpoint, and nothing about other commands', () => {
    const events = [
      started(base),
      applied(30, { probed_step: 20 }, { probed_step: 30, held_out_mean: 60 }),
      applied(40, { run: 'run-1', step: 40 }, { run: 'run-2', step: 10, checkpoint: 'step-000010' }),
    ];
    const told = findings(run, events, 100, ended).filter(({ kind }) => kind === 'intervention');
    expect(told).toEqual([
      {
        kind: 'intervention',
        step: 40,
        text: 'At step 40 training went back to step-000010 and on as run-2: compare the two runs from step 10.',
        values: { backTo: 10 },
      },
    ]);
  });
  it('say that what changed less than its noise floor was judged', () => {
    const quiet = new Map([
      ['held_out/mean/accuracy', series(90, 89, 90)],
      ['bias/number_tokens/held_out', series(0, 0.0015, 0.001)],
      ['shift/kl', series(0, 0.03, 0.004)],
    ]);
    expect(findings(quiet, [started(base)], 100, ended)).toEqual([
      {
        ...{ kind: 'no_harm', step: 20, values: {} },
        text: 'No harm beyond the noise: held-out accuracy, number-token bias, KL divergence.',
      },
    ]);
  });
  it('report a diverged loss that is stored as an overflow', () => {
    const told = findings(new Map([['train/loss', series(1, 1.7976931348623157e308, 2)]]), [], 100, ended);
    const words = 'The loss was 1.798e+308 at step 10; it is finite again and ended at 2.';
    expect(told).toMatchObject([{ kind: 'diverged', step: 10, text: words }]);
  });
  it('name the step at which the loss diverged', () => {
    const told = findings(new Map([['train/loss', series(1, 2, NaN)]]), [], 100, ended);
    expect(told).toMatchObject([{ kind: 'diverged', step: 20, text: 'The loss became NaN at step 20.' }]);
  });
  it('say how often a loss was not finite, and whether it is finite again', () => {
    const words = (course: MetricSeries, state: 'finished' | 'running' = 'finished') =>
      findings(new Map([['train/loss', course]]), [], 100, { ...ended, state }).map(({ text }) => text);
    const course = series(3, NaN, 2, NaN, Infinity, 1.5);
    const was = 'The loss was not finite at 3 of 6 steps (10 to 40)';
    expect(words(course)).toEqual([`${was}; it is finite again and ended at 1.5.`]);
    expect(words(course, 'running')).toEqual([`${was}; it is finite again and is at 1.5 so far.`]);
    expect(words(series(3, NaN, 2, NaN))).toEqual([
      'The loss was not finite at 2 of 4 steps (10 to 30), and ended at NaN.',
    ]);
    // What is missing cannot be counted.
    expect(words({ ...course, isThinned: true })).toEqual([
      'The loss was NaN at step 10 for the first time; it is finite again and ended at 1.5.',
    ]);
  });
});
