import { Option, type Command } from 'commander';
import { parse } from 'yaml';
import { issueWords, knownOnly } from '@plumbline/shared/known-only';
import { fourDigits, fromWireNumber } from '@plumbline/shared/metric';
import { describeAction, describeCondition } from '@plumbline/shared/rule-words';
import { GuardRules, type GuardRule, type RuleState } from '@plumbline/shared/rule';
import type { RulesResponse } from '@plumbline/shared/http';
import { give, withGiveOptions, type GiveFlags } from './give-command.js';
import { findRun, hubOf } from './hub.js';
import { unknownSeriesOf, type KnownSeries } from '@plumbline/shared/known-series';
import type { RunId } from '@plumbline/shared/run';
import type { SeriesResponse } from '@plumbline/shared/series';
import type { HubApi } from '../hub-api.js';
import { sayError } from '../terminal.js';
import { table } from './table.js';
import { readGivenFile } from '../given-file.js';
import { UsageError } from '../usage-error.js';

interface Flags extends GiveFlags {
  set?: string;
  clear?: true;
}

/** `plumbline rules RUN`: lists or sets the guard rules of a run. */
export function addRulesCommand(program: Command, say: (line: string) => void): void {
  withGiveOptions(
    program
      .command('rules')
      .description('list the guard rules of a run with their states, or set others')
      .argument('<run>', 'id of the run, or the beginning of it')
      .addOption(new Option('--set <file>', 'replace the rules by those in this file, JSON or YAML').conflicts('clear'))
      .option('--clear', 'remove all rules of the run'),
  )
    .addHelpText(
      'after',
      '\nThe file is a list of rules, as `plumbline rules RUN --json` prints it:' +
        '\n  - name: drift' +
        '\n    metric: shift/kl' +
        '\n    condition: {kind: threshold, side: above, value: 0.5, consecutive: 2}' +
        '\n    actions: [{kind: pause}]' +
        '\nAll kinds of conditions and actions: docs/operations.md, "Guard rules".',
    )
    .action(async (text: string, flags: Flags) => {
      const hub = hubOf(flags);
      const rules = flags.clear ? [] : flags.set === undefined ? undefined : readRules(flags.set);
      const { runId } = await findRun(hub, text);
      const { rules: states } = await hub.get<RulesResponse>(`/runs/${runId}/rules`);
      warnOfSeries(rules ?? states.map(({ rule }) => rule), { names: await seriesOf(hub, runId), areAll: false });
      // Rejected when somebody has set other rules since, so that nobody replaces rules unseen.
      if (rules !== undefined) {
        await give(hub, runId, { kind: 'set_rules', rules, replaces: states.map(({ rule }) => rule) }, flags, say);
        return;
      }
      if (flags.json) return say(JSON.stringify(states.map(({ rule, ...state }) => ({ ...rule, state }))));
      if (states.length === 0) return say(`${runId} has no guard rules.`);
      for (const line of table(['NAME', 'WHEN', 'THEN', 'FIRED', 'STATE'], states.map(rowOf), [3])) say(line);
    });
}

/** Warns of series in rules that the run does not have: such a rule may wait for ever. */
export function warnOfSeries(rules: readonly GuardRule[], series: KnownSeries): void {
  for (const rule of rules)
    for (const words of unknownSeriesOf(rule, series)) sayError(`Warning: the rule "${rule.name}": ${words}`);
}

/** Names of the series of which the run, or its base model, has had a value. */
export async function seriesOf(hub: HubApi, runId: RunId): Promise<string[]> {
  const [{ series }, { events }] = await Promise.all([
    hub.get<SeriesResponse>(`/runs/${runId}/series`),
    hub.controlEvents(runId),
  ]);
  const started = events.findLast((event) => event.type === 'run_started');
  const measured = series.flatMap(({ name, last }) => (last === null ? [] : [name]));
  return [...new Set([...measured, ...Object.keys(started?.baseline ?? {})])];
}

/** Removes the states from rules that `--json` printed, so that its output can be used as a file of rules. */
const withoutStates = (content: unknown): unknown =>
  Array.isArray(content)
    ? content.map((rule: unknown) => {
        if (typeof rule !== 'object' || rule === null || !('state' in rule)) return rule;
        const { state: _, ...rest } = rule;
        return rest;
      })
    : content;

const rowOf = ({ rule, armed, firings, last }: RuleState): string[] => [
  rule.name,
  `${rule.metric} ${describeCondition(rule.condition)}`,
  rule.actions.map(describeAction).join(', '),
  String(firings),
  standing(armed, last),
];

/** How a rule stands, as the page says it, with the value at which it fired last. */
function standing(armed: boolean, last: RuleState['last']): string {
  const fired = last && `fired at step ${last.step} (${fourDigits(fromWireNumber(last.value))})`;
  if (armed) return fired ? `armed again, ${fired}` : 'armed';
  return fired ? `${fired}, armed once its series is back` : 'armed once its series is back';
}

/** Reads a file of rules. @throws UsageError saying what is wrong with the file, and where */
function readRules(path: string): GuardRule[] {
  const text = readGivenFile(path, 'guard rules', '`plumbline rules RUN --json` prints rules as such a file has them.');
  let content: unknown;
  try {
    content = parse(text);
  } catch (error) {
    throw new UsageError(
      `${path} is neither YAML nor JSON: ${error instanceof Error ? error.message : String(error)}`,
      {
        cause: error,
      },
    );
  }
  const parsed = knownOnly(GuardRules).safeParse(withoutStates(content));
  if (parsed.success) return parsed.data;
  throw new UsageError(`${path}: ${issueWords(parsed.error)}`);
}
