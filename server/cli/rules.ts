import { readFileSync } from 'node:fs';
import { Option, type Command } from 'commander';
import { parse } from 'yaml';
import { fourDigits, fromWireNumber } from '@plumbline/shared/metric';
import { describeAction, describeCondition, GuardRules, type GuardRule, type RuleState } from '@plumbline/shared/rule';
import type { RulesResponse } from '@plumbline/shared/http';
import { give, withGiveOptions, type GiveFlags } from './give-command.js';
import { findRun, hubOf } from './hub.js';
import { table } from './table.js';

interface Flags extends GiveFlags {
  set?: string;
  clear?: true;
}

/** `plumbline rules RUN`: the guard rules of a run, and other ones for it. */
export function addRulesCommand(program: Command, say: (line: string) => void): void {
  withGiveOptions(
    program
      .command('rules')
      .description('list the guard rules of a run and where each stands, or set others')
      .argument('<run>', 'id of the run, or the beginning of it')
      .addOption(
        new Option('--set <file>', 'watch the run by the rules in this file, JSON or YAML, instead').conflicts('clear'),
      )
      .option('--clear', 'watch the run by no rule any more'),
  )
    .addHelpText('after', '\nThe file is a list of rules, as `plumbline rules RUN --json` prints it.')
    .action(async (text: string, flags: Flags) => {
      const hub = hubOf(flags);
      const rules = flags.clear ? [] : flags.set === undefined ? undefined : readRules(flags.set);
      const { runId } = await findRun(hub, text);
      const { rules: states } = await hub.get<RulesResponse>(`/runs/${runId}/rules`);
      // Rejected when somebody has set others since: nobody takes away what was not seen.
      if (rules !== undefined)
        return give(hub, runId, { kind: 'set_rules', rules, replaces: states.map(({ rule }) => rule) }, flags, say);
      if (flags.json) return say(JSON.stringify(states.map(({ rule, ...state }) => ({ ...rule, state }))));
      if (states.length === 0) return say(`${runId} is watched by no guard rules.`);
      for (const line of table(['NAME', 'WHEN', 'THEN', 'FIRED', 'STATE'], states.map(rowOf), [3])) say(line);
    });
}

const rowOf = ({ rule, armed, firings, last }: RuleState): string[] => [
  rule.name,
  `${rule.metric} ${describeCondition(rule.condition)}`,
  rule.actions.map(describeAction).join(', '),
  String(firings),
  (armed ? 'armed' : 'waits for its series to come back') +
    (last ? `; last at step ${last.step}, ${fourDigits(fromWireNumber(last.value))}` : ''),
];

/** @throws Error saying what is wrong with the file, and where */
function readRules(path: string): GuardRule[] {
  let content: unknown;
  try {
    content = parse(readFileSync(path, 'utf8'));
  } catch (error) {
    throw new Error(`${path}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
  const parsed = GuardRules.safeParse(content);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new Error(`${path}: ${issue!.path.length === 0 ? '' : `${issue!.path.join('.')}: `}${issue!.message}`);
}
