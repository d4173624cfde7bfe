import { createHash } from 'node:crypto';
import { CommandId, type CommandRecord, type GivenAction, type GivenCommand } from '@plumbline/shared/command';
import { toWireNumber } from '@plumbline/shared/metric';
import { ruleAuthor, type GuardRule, type RuleAction } from '@plumbline/shared/rule';
import type { RunId } from '@plumbline/shared/run';
import type { Firing, RuleMachine } from './rule-machine.js';

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

/** The commands of a rule that may have to be given, in order. */
interface Due {
  firstSeq: number;
  commands: { command: GivenCommand; rule: GuardRule; isOver: boolean }[];
}

/**
 * Finds the commands of a run's firings that still have to be given. A rule gives its commands in order, so only those after
 * its last given one can be missing: only these are held. If a rule has given a command that its firings do not explain, the
 * values are incomplete; then nothing of it is given, because it is unknown what has been.
 */
export class UngivenCommands {
  /** By author. */
  readonly #due = new Map<string, Due>();
  /** The given commands of rules that no firing explains. */
  readonly #unexplained: Map<CommandId, string>;
  readonly #known: ReadonlySet<CommandId>;

  /** @param given the run's commands before its values are read */
  constructor(
    readonly runId: RunId,
    given: readonly CommandRecord[],
  ) {
    this.#unexplained = new Map(given.map(({ commandId, author }) => [commandId, author]));
    this.#known = new Set(this.#unexplained.keys());
  }

  /** Takes the firings of each rule in order. */
  take(firing: Firing): void {
    for (const { author, command } of commandsOf(this.runId, firing)) {
      const due = this.#due.get(author) ?? { firstSeq: firing.seq, commands: [] };
      this.#due.set(author, due);
      if (this.#unexplained.delete(command.commandId)) due.commands = [];
      else due.commands.push({ command, rule: firing.rule, isOver: false });
    }
  }

  /** Commands of changed and removed rules are not given any more. */
  rulesChanged(machine: RuleMachine): void {
    for (const { commands } of this.#due.values()) for (const due of commands) due.isOver ||= !machine.has(due.rule);
  }

  /** @param given the run's commands now */
  rest(given: readonly CommandRecord[]): RuleCommand[] {
    const unexplained = new Set(this.#unexplained.values());
    const late = given.filter(({ commandId }) => !this.#known.has(commandId));
    return [...this.#due]
      .sort(([, a], [, b]) => a.firstSeq - b.firstSeq)
      .flatMap(([author, { commands }]) => {
        const givenLate = new Set(late.flatMap((record) => (record.author === author ? [record.commandId] : [])));
        const isGiven = ({ command }: Due['commands'][number]): boolean => givenLate.has(command.commandId);
        if (unexplained.has(author) || commands.filter(isGiven).length < givenLate.size) return [];
        const rest = commands.slice(commands.findLastIndex(isGiven) + 1);
        return rest.flatMap(({ command, isOver }) => (isOver ? [] : [{ command, author }]));
      });
  }
}
