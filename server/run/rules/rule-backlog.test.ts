import { describe, expect, it } from 'vitest';
import type { TrainerEvent } from '@plumbline/shared/trainer-event';
import { BacklogBudget, RuleBacklog, ruleEventOf } from './rule-backlog.js';

const steps = (fromSeq: number, count: number, series: number): TrainerEvent[] =>
  Array.from({ length: count }, (_, i) => ({
    ...{ type: 'step_completed', seq: fromSeq + i, step: fromSeq + i, stage: 0, wallTimeMs: 0 },
    metrics: Object.fromEntries(Array.from({ length: series }, (_, at) => [`drift/${at}`, at])),
  }));

describe('what waits for the rules of runs while the store cannot be read', () => {
  it('holds a bounded number of values over all runs, of which the longest give way', () => {
    const budget = new BacklogBudget(10_000);
    const small = new RuleBacklog(budget);
    small.push(steps(1, 20, 4));
    const large = Array.from({ length: 20 }, () => new RuleBacklog(budget));
    for (let round = 0; round < 10; round++)
      for (const backlog of large) {
        backlog.push(steps(1 + round * 5, 5, 99));
        expect(budget.held).toBeLessThanOrEqual(10_000);
      }
    expect(small.firstSeq).toBe(1);
    for (const backlog of large) expect(backlog.takeAll().at(-1)?.seq ?? 50).toBe(50);
    expect(budget.held).toBe(small.values);
    small.takeAll();
    expect(budget.held).toBe(0);
  });

  it('keeps its newest events in order, and takes more after all of one run was too much', () => {
    const backlog = new RuleBacklog(new BacklogBudget(100));
    backlog.push(steps(1, 1, 500));
    expect(backlog.isEmpty).toBe(true);
    backlog.push(steps(2, 50, 9));
    const seqs = backlog.takeAll().map(({ seq }) => seq);
    expect(seqs).toEqual(Array.from({ length: seqs.length }, (_, i) => 52 - seqs.length + i));
    expect(seqs.length).toBeGreaterThan(5);
  });

  it('holds nothing of a model', () => {
    const started = {
      ...{ type: 'run_started', seq: 1, step: 0, wallTimeMs: 0, baseline: { a: 1 }, trainable: [] },
      trainer: { backend: 'x', device: '', host: 'x', processId: 1, version: '1' },
      model: { name: 'none', groups: [], parameters: [], recipes: [] },
      selection: { kind: 'recipe', recipe: 'full' },
    } satisfies TrainerEvent;
    expect(ruleEventOf(started)).toEqual({
      ...{ seq: 1, step: 0, isSegment: false, metrics: null, baseline: { a: 1 }, series: [] },
    });
  });
});
