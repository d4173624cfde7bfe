import type { Command } from 'commander';
import type { FindingsResponse } from '@plumbline/shared/http';
import { RunId } from '@plumbline/shared/run';
import { tokenHeader } from '../access/trainer-token.js';
import { readConfig, type HubConfig } from '../config.js';
import { hubUrl } from '../hub-address.js';
import { runFindings } from '../run/run-findings.js';
import { openStore } from '../store/open-store.js';

/** `plumbline findings RUN`: why a run went as it went, from the hub that has it or else from the store. */
export function addFindingsCommand(program: Command, say: (line: string) => void): void {
  program
    .command('findings')
    .description(
      'say why a run went as it went: what each task came to, what dropped, when, with what, what interventions ' +
        'changed, and what energy it took',
    )
    .argument('<run>', 'id of the run')
    .option('--data-dir <folder>', 'where runs are kept (PLUMBLINE_DATA_DIR, .plumbline)')
    .option('--json', 'for programs')
    .action(async (run: string, { dataDir, json }: { dataDir?: string; json?: true }) => {
      const config = readConfig({ PLUMBLINE_DATA_DIR: dataDir });
      const runId = RunId.safeParse(run);
      if (!runId.success) throw new Error(`${runId.error.issues[0]!.message}.`);
      const url = hubUrl(config.dataDir);
      const answer = url === null ? await fromStore(config, runId.data) : await fromHub(url, config, runId.data);
      if (json) return say(JSON.stringify(answer));
      for (const line of findingLines(answer.findings)) say(line);
    });
}

async function fromHub(url: string, config: HubConfig, runId: RunId): Promise<FindingsResponse> {
  const response = await fetch(`${url}/api/runs/${runId}/findings`, { headers: tokenHeader(config) });
  const body = (await response.json()) as FindingsResponse & { error?: { message: string } };
  if (!response.ok) throw new Error(body.error?.message ?? `The hub answered ${response.status}.`);
  return body;
}

async function fromStore(config: HubConfig, runId: RunId): Promise<FindingsResponse> {
  const store = openStore(config, { mustExist: true });
  try {
    const run = await store.run(runId);
    if (!run) throw new Error(`There is no run ${runId} in ${config.dataDir}. --data-dir names another folder.`);
    return { runId, findings: await runFindings(store, run) };
  } finally {
    await store.close();
  }
}

/** What a run took is told of each, and does not stand out. */
export function findingLines(findings: FindingsResponse['findings']): string[] {
  const nothing = 'Nothing stands out: no drop beyond the noise, no drift, no intervention.';
  return [
    ...(findings.every(({ kind }) => kind === 'energy') ? [nothing] : []),
    ...findings.map(({ step, text }) => `step ${String(step).padStart(6)}  ${text}`),
  ];
}
