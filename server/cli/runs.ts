import { setTimeout as sleep } from 'node:timers/promises';
import { InvalidArgumentError, type Command } from 'commander';
import type { WireNumber } from '@plumbline/shared/metric';
import { runStates, type RunState } from '@plumbline/shared/run';
import { maxListedRuns } from '@plumbline/shared/request-limits';
import type { ListedRun, RunListResponse, RunOverview } from '@plumbline/shared/run-list';
import type { HubApi } from '../hub-api.js';
import { hubOf, withHubOptions, type HubFlags } from './hub.js';
import { seriesWord, valueWords } from './key-metrics.js';
import { table } from './table.js';
import { wholeNumber } from './whole-number.js';

interface Flags extends HubFlags {
  state?: RunState[];
  tag?: string;
  limit: number;
  json?: true;
}

/** Headline series in a row. */
const shownSeries = 2;
/** The hub reads overviews in the background after its start. */
const [readAgainMs, mostReads] = [300, 10];

/** `plumbline runs`: lists the newest runs of a hub. */
export function addRunsCommand(program: Command, say: (line: string) => void): void {
  withHubOptions(
    program
      .command('runs')
      .description('list runs, newest first: state, step, last values, name')
      .option('--state <states>', `only those in these states, with commas between: ${runStates.join(', ')}`, statesOf)
      .option('--tag <tag>', 'only those with this tag')
      .option('--limit <number>', 'how many', wholeNumber(1), 20),
  ).action(async (flags: Flags) => {
    const hub = hubOf(flags);
    const { state: states = runStates, tag, limit, json } = flags;
    const { runs, total } = await withOverviews(() => newest(hub, { states, tag }, limit));
    if (json) return say(JSON.stringify(runs.map(({ overview, ...run }) => ({ ...run, last: lastOf(overview) }))));
    if (runs.length === 0) return say(states === runStates && tag === undefined ? 'There are no runs yet.' : 'No run.');
    for (const line of table(['RUN', 'STATE', 'STEP', 'LAST VALUES', 'NAME'], runs.map(rowOf), [2])) say(line);
    if (total > runs.length) say(`... and ${total - runs.length} more (--limit)`);
  });
}

/** The newest runs in some states, up to a limit, and the number of all such runs. */
async function newest(
  hub: HubApi,
  { states, tag }: { states: readonly RunState[]; tag: string | undefined },
  limit: number,
): Promise<Pick<RunListResponse, 'runs' | 'total'>> {
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

/** Lists again until the hub has read all overviews, or for a few seconds. */
async function withOverviews(list: () => Promise<Pick<RunListResponse, 'runs' | 'total'>>): ReturnType<typeof list> {
  for (let reads = 1; ; reads++) {
    const found = await list();
    if (reads === mostReads || found.runs.every(({ overview }) => overview !== null)) return found;
    await sleep(readAgainMs);
  }
}

/** The last values of a run's headline series; null where the hub has not read them in time. */
const lastOf = (overview: RunOverview | null): Record<string, WireNumber> | null =>
  overview && Object.fromEntries(overview.series.map(({ name, value }) => [name, value]));

const rowOf = (run: ListedRun): string[] => [
  run.runId,
  run.state + (['running', 'paused'].includes(run.state) && !run.trainerConnected ? ' (no trainer)' : ''),
  String(run.lastStep),
  headlineWords(run.overview) || '–',
  run.description.name,
];

const headlineWords = (overview: RunOverview | null): string =>
  (overview?.series ?? [])
    .slice(0, shownSeries)
    .map(({ name, label, value, unit }) => `${seriesWord(name, { label })} ${valueWords(value, unit)}`)
    .join('  ');

function statesOf(text: string): RunState[] {
  return text.split(',').map((word) => {
    const state = runStates.find((known) => known === word.trim());
    if (!state) throw new InvalidArgumentError(`States are ${runStates.join(', ')}.`);
    return state;
  });
}
