import { describe, expect, it } from 'vitest';
import type { RunId } from '@plumbline/shared/run';
import { LiveBudget } from './live-budget.js';

const missed = { runId: 'run' as RunId, lastSeq: 7 };
/** Sends one message, if the budget admits it. @returns whether it does */
const send = (budget: LiveBudget, selection: string, characters: number): boolean => {
  const isAdmitted = budget.admits(selection, missed);
  if (isAdmitted) budget.charge(selection, characters);
  return isAdmitted;
};

describe('the budget of live data', () => {
  it('serves every selection, however unequal, while half of it is left', () => {
    const budget = new LiveBudget(10_000);
    for (let i = 0; i < 48; i++) expect(send(budget, 'large', 100)).toBe(true);
    expect(send(budget, 'small', 10)).toBe(true);
    expect(budget.hasLeftOut).toBe(false);
  });

  it('leaves out those above an equal share after that, until the second ends', () => {
    const budget = new LiveBudget(10_000);
    for (let i = 0; i < 10; i++) send(budget, 'small', 1);
    let sent = 0;
    for (let round = 0; round < 50; round++) {
      for (let i = 0; i < 50; i++) if (send(budget, `large ${i}`, 100)) sent += 100;
      expect(send(budget, 'small', 1)).toBe(true);
    }
    expect(sent).toBeLessThanOrEqual(10_000);
    const told = budget.renew(0);
    expect(told).toHaveLength(50);
    expect(told[0]).toEqual(['large 0', missed]);
    expect(budget.hasLeftOut).toBe(false);
    expect(send(budget, 'large 0', 100)).toBe(true);
  });

  it('counts what waits for slow clients, and remembers who has cost much', () => {
    const budget = new LiveBudget(10_000);
    send(budget, 'large', 6000);
    send(budget, 'small', 200);
    budget.renew(5000);
    expect(send(budget, 'large', 10)).toBe(false);
    expect(send(budget, 'small', 10)).toBe(true);
    expect(budget.missedBy('large')).toEqual(missed);
    expect(budget.costOf('large')).toBe(3000);
  });
});
