import { createHash } from 'node:crypto';
import { CommandId, type CommandRecord, type GivenAction, type GivenCommand } from '@plumbline/shared/command';
import { toWireNumber } from '@plumbline/shared/metric';
import { ruleAuthor, type RuleAction } from '@plumbline/shared/rule';
import type { RunId } from '@plumbline/shared/run';
import type { Firing } from './rule-machine.js';

export interface RuleCommand {
  command: GivenCommand;
  author: string;
}

/** The commands of a firing, in the order of the rule's actions. */
export function commandsOf(runId: RunId, firing: Firing): RuleCommand[] {
  const { rule, seq, cause } = firing;
  return rule.actions.map((action, index) => ({
    author: ruleAuthor(rule.name),
    command: { commandId: ruleCommandId(runId, rule.name, seq, index), runId, action: asked(action, firing), cause },
  }));
}

/** A deterministic id: the same for the same value of the same run, at any hub and any time. */
export function ruleCommandId(runId: RunId, rule: string, seq: number, actionIndex: number): CommandId {
  const of = JSON.stringify([runId, rule, seq, actionIndex]);
  return CommandId.parse(`rule-${createHash('sha256').update(of).digest('base64url')}`);
}

function asked(action: RuleAction, { rule, step, value }: Firing): GivenAction {
  if (action.kind !== 'notify') return action;
  const { name, metric } = rule;
  return { ...action, rule: name, metric, step, value: toWireNumber(value), firedMs: Date.now() };
}

/**
 * The commands of these firings that still have to be given. A rule gives its commands in order, so only those after its
 * last given one can be missing. If a rule has given a command that these values do not explain, the values are incomplete;
 * then nothing is given, because it is unknown what has been.
 * @param over firings of removed rules: none of their commands is given any more
 */
export function ungiven(
  runId: RunId,
  { firings, over }: { firings: readonly Firing[]; over: ReadonlySet<Firing> },
  given: readonly CommandRecord[],
): RuleCommand[] {
  const all = firings.flatMap((firing) =>
    commandsOf(runId, firing).map((one) => ({ ...one, isOver: over.has(firing) })),
  );
  const ids = new Set(all.map(({ command }) => command.commandId));
  const givenIds = new Set(given.map(({ commandId }) => commandId));
  return [...new Set(all.map(({ author }) => author))].flatMap((author) => {
    if (given.some((record) => record.author === author && !ids.has(record.commandId))) return [];
    const own = all.filter((command) => command.author === author);
    const due = own.slice(own.findLastIndex(({ command }) => givenIds.has(command.commandId)) + 1);
    return due.filter(({ isOver }) => !isOver).map(({ command }) => ({ command, author }));
  });
}
