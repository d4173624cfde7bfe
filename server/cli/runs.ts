import { InvalidArgumentError, type Command } from 'commander';
import { metrics, type WireNumber } from '@plumbline/shared/metric';
import { runStates, type RunState, type RunSummary } from '@plumbline/shared/run';
import { maxListedRuns, type ListedRun, type RunList, type RunOverview } from '@plumbline/shared/run-list';
import type { HubApi } from '../hub-api.js';
import { hubOf, withHubOptions, type HubFlags } from './hub.js';
import { valueWords } from './key-metrics.js';
import { table } from './table.js';
import { wholeNumber } from './whole-number.js';

interface Flags extends HubFlags {
  state?: RunState[];
  tag?: string;
  limit: number;
  json?: true;
}

/** The series whose last values the list shows. */
const listed = [metrics.loss, metrics.heldOutMean];

/** `plumbline runs`: lists the newest runs of a hub. */
export function addRunsCommand(program: Command, say: (line: string) => void): void {
  withHubOptions(
    program
      .command('runs')
      .description('list runs, newest first: state, step, last loss and held-out accuracy, name')
      .option('--state <states>', `only those in these states, with commas between: ${runStates.join(', ')}`, statesOf)
      .option('--tag <tag>', 'only those with this tag')
      .option('--limit <number>', 'how many', wholeNumber(1), 20),
  ).action(async (flags: Flags) => {
    const hub = hubOf(flags);
    const { state: states = runStates, tag, limit, json } = flags;
    const { runs, total } = await newest(hub, { states, tag }, limit);
    if (json) return say(JSON.stringify(runs.map(({ overview, ...run }) => ({ ...run, last: lastOf(overview) }))));
    if (runs.length === 0) return say(states === runStates && tag === undefined ? 'There are no runs yet.' : 'No run.');
    const rows = runs.map((run) => rowOf(run, lastOf(run.overview)));
    for (const line of table(['RUN', 'STATE', 'STEP', 'LOSS', 'HELD-OUT', 'NAME'], rows, [2, 3, 4])) say(line);
    if (total > runs.length) say(`... and ${total - runs.length} more (--limit)`);
  });
}

/** The newest runs in some states, up to a limit, and the number of all such runs. */
async function newest(
  hub: HubApi,
  { states, tag }: { states: readonly RunState[]; tag: string | undefined },
  limit: number,
): Promise<Pick<RunList, 'runs' | 'total'>> {
  const runs: ListedRun[] = [];
  const ofTag = tag === undefined ? [] : [`tag=${encodeURIComponent(tag)}`];
  const filter = [...states.map((state) => `state=${state}`), ...ofTag].join('&');
  for (let cursor = ''; ;) {
    const size = Math.min(maxListedRuns, limit - runs.length);
    const page = await hub.runPage(`${filter}&limit=${size}${cursor}`);
    runs.push(...page.runs);
    if (!page.next || runs.length >= limit) return { runs, total: page.total };
    cursor = `&cursor=${page.next}`;
  }
}

/** The last values of a run's headline series. */
const lastOf = (overview: RunOverview | null): Record<string, WireNumber> =>
  Object.fromEntries(overview?.series.map(({ name, value }) => [name, value]) ?? []);

const rowOf = (run: RunSummary, last: Record<string, WireNumber>): string[] => [
  run.runId,
  run.state + (['running', 'paused'].includes(run.state) && !run.trainerConnected ? ' (no trainer)' : ''),
  String(run.lastStep),
  ...listed.map((name) => valueWords(last[name], name === metrics.heldOutMean ? '%' : undefined)),
  run.description.name,
];

function statesOf(text: string): RunState[] {
  return text.split(',').map((word) => {
    const state = runStates.find((known) => known === word.trim());
    if (!state) throw new InvalidArgumentError(`States are ${runStates.join(', ')}.`);
    return state;
  });
}
