import { describe, expect, it } from 'vitest';
import type { CommandRecord } from '@plumbline/shared/command';
import { GuardRule, ruleAuthor } from '@plumbline/shared/rule';
import { RunId } from '@plumbline/shared/run';
import { ruleCommandId, UngivenCommands } from './rule-commands.js';
import { RuleMachine } from './rule-machine.js';

const runId = RunId.parse('run-a');
const rule = (name: string): GuardRule =>
  GuardRule.parse({
    ...{ name, metric: 'train/loss', actions: [{ kind: 'pause' }] },
    condition: { kind: 'threshold', side: 'above', value: 1 },
  });
const [high, other] = [rule('high'), rule('other')];
const firing = (of: GuardRule, seq: number) => ({ rule: of, seq, step: seq, value: 2, cause: '' });
const idOf = (of: GuardRule, seq: number) => ruleCommandId(runId, of.name, seq, 0);
const given = (of: GuardRule, seq: number) =>
  ({ commandId: idOf(of, seq), author: ruleAuthor(of.name) }) as CommandRecord;
const ids = (commands: ReturnType<UngivenCommands['rest']>) => commands.map(({ command }) => command.commandId);

describe('commands of stored firings', () => {
  it('are to be given after the last given one of each rule, the rule that fired first before the others', () => {
    const log = [given(high, 3)];
    const ungiven = new UngivenCommands(runId, log);
    for (const [of, seq] of [
      [other, 2],
      [high, 1],
      [high, 3],
      [other, 4],
      [high, 5],
    ] as const)
      ungiven.take(firing(of, seq));
    expect(ids(ungiven.rest(log))).toEqual([idOf(high, 5), idOf(other, 2), idOf(other, 4)]);
  });

  it('count as given, if they are given while the values are read', () => {
    const ungiven = new UngivenCommands(runId, []);
    for (const seq of [1, 2, 3]) ungiven.take(firing(high, seq));
    expect(ids(ungiven.rest([given(high, 2)]))).toEqual([idOf(high, 3)]);
  });

  it('are not given, if the rule has given one that no firing explains, whenever it did', () => {
    for (const before of [[given(high, 9)], []]) {
      const ungiven = new UngivenCommands(runId, before);
      ungiven.take(firing(high, 1));
      expect(ungiven.rest([given(high, 9)])).toEqual([]);
    }
  });

  it('are not given, if their rule is changed after', () => {
    const ungiven = new UngivenCommands(runId, []);
    for (const of of [high, other]) ungiven.take(firing(of, 1));
    ungiven.rulesChanged(new RuleMachine([other]));
    expect(ids(ungiven.rest([]))).toEqual([idOf(other, 1)]);
  });
});
