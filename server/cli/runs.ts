import { InvalidArgumentError, type Command } from 'commander';
import type { CompareResponse } from '@plumbline/shared/http';
import { metrics } from '@plumbline/shared/metric';
import { runStates, type RunId, type RunState, type RunSummary } from '@plumbline/shared/run';
import type { HubApi } from '../hub-api.js';
import { hubOf, withHubOptions, type HubFlags } from './hub.js';
import { metricQuery, valueWords } from './key-metrics.js';
import { table } from './table.js';
import { wholeNumber } from './whole-number.js';

interface Flags extends HubFlags {
  state?: RunState[];
  tag?: string;
  limit: number;
  json?: true;
}

/** What the list shows of each run beside what the hub keeps of it. */
const listed = [metrics.loss, metrics.heldOutMean];
/** Runs that the hub compares in one answer. */
const comparedAtOnce = 20;

/** `plumbline runs`: the newest runs of a hub. */
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
    const runs = (await hub.runs()).filter(
      ({ state, description }) => states.includes(state) && (tag === undefined || description.tags.includes(tag)),
    );
    const shown = runs.slice(0, limit);
    const last = await lastValues(
      hub,
      shown.map(({ runId }) => runId),
    );
    if (json) return say(JSON.stringify(shown.map((run) => ({ ...run, last: last.get(run.runId) ?? {} }))));
    if (shown.length === 0)
      return say(states === runStates && tag === undefined ? 'There are no runs yet.' : 'No run.');
    const rows = shown.map((run) => rowOf(run, last.get(run.runId) ?? {}));
    for (const line of table(['RUN', 'STATE', 'STEP', 'LOSS', 'HELD-OUT', 'NAME'], rows, [2, 3, 4])) say(line);
    if (runs.length > shown.length) say(`... and ${runs.length - shown.length} more (--limit)`);
  });
}

const rowOf = (run: RunSummary, last: Record<string, number>): string[] => [
  run.runId,
  run.state + (['running', 'paused'].includes(run.state) && !run.trainerConnected ? ' (no trainer)' : ''),
  String(run.lastStep),
  ...listed.map((name) => valueWords(last[name], name === metrics.heldOutMean ? '%' : undefined)),
  run.description.name,
];

/** The last finite values of the listed series. */
async function lastValues(hub: HubApi, runIds: readonly RunId[]): Promise<Map<RunId, Record<string, number>>> {
  const values = new Map<RunId, Record<string, number>>();
  for (let from = 0; from < runIds.length; from += comparedAtOnce) {
    const asked = runIds.slice(from, from + comparedAtOnce);
    const query = asked.map((runId) => `run=${runId}`).join('&');
    const { runs } = await hub.get<CompareResponse>(`/compare?${query}&${metricQuery(listed)}`);
    for (const { run, metrics: of } of runs)
      values.set(run.runId, Object.fromEntries(Object.entries(of).map(([name, { last }]) => [name, last])));
  }
  return values;
}

function statesOf(text: string): RunState[] {
  return text.split(',').map((word) => {
    const state = runStates.find((known) => known === word.trim());
    if (!state) throw new InvalidArgumentError(`States are ${runStates.join(', ')}.`);
    return state;
  });
}
