import type { Command } from 'commander';
import type { FindingsResponse } from '@plumbline/shared/http';
import { readConfig } from '../config.js';
import type { HubApi } from '../hub-api.js';
import { runFindings } from '../run/run-findings.js';
import { openStore } from '../store/open-store.js';
import { findRun, findStoredRun, hubIfAny, withHubAddress, type HubFlags } from './hub.js';

/** `plumbline findings RUN`: explains the course of a run, from its hub or from the store. */
export function addFindingsCommand(program: Command, say: (line: string) => void): void {
  withHubAddress(
    program
      .command('findings')
      .description(
        'say why a run went as it went: what each task came to, what dropped, when, with what, what interventions ' +
          'changed, and what energy it took',
      )
      .argument('<run>', 'id of the run, or the beginning of it'),
    'where runs are kept, with a hub running or not (PLUMBLINE_DATA_DIR, .plumbline)',
  )
    .option('--json', 'for programs')
    .action(async (text: string, { json, ...flags }: HubFlags & { json?: true }) => {
      const hub = hubIfAny(flags);
      const answer = hub === null ? await fromStore(flags, text) : await fromHub(hub, text);
      if (json) return say(JSON.stringify(answer));
      for (const line of findingLines(answer.findings)) say(line);
    });
}

async function fromHub(hub: HubApi, text: string): Promise<FindingsResponse> {
  const { runId } = await findRun(hub, text);
  return hub.get<FindingsResponse>(`/runs/${runId}/findings`);
}

async function fromStore({ dataDir }: HubFlags, text: string): Promise<FindingsResponse> {
  const config = readConfig({ PLUMBLINE_DATA_DIR: dataDir });
  const store = openStore(config, { mustExist: true });
  try {
    const run = await findStoredRun(store, config.dataDir, text);
    return { runId: run.runId, findings: await runFindings(store, run) };
  } finally {
    await store.close();
  }
}

const asides: ReadonlySet<string> = new Set(['energy', 'no_harm', 'not_judged']);

/** The lines of the answer. Energy, series without harm and findings that could not be made do not stand out. */
export function findingLines(findings: FindingsResponse['findings']): string[] {
  const isPartial = findings.some(({ kind }) => kind === 'not_judged');
  const nothing = isPartial
    ? 'Nothing stands out in what this run measured. Not everything could be judged:'
    : 'Nothing stands out: no drop beyond the noise, no drift, no intervention.';
  return [
    ...(findings.every(({ kind }) => asides.has(kind)) ? [nothing] : []),
    ...findings.map(({ step, text }) => `step ${String(step).padStart(6)}  ${text}`),
  ];
}
