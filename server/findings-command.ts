import type { Command } from 'commander';
import type { FindingsResponse } from '@plumbline/shared/http';
import { RunId } from '@plumbline/shared/run';
import { readConfig } from './config.js';
import { hubUrl } from './hub-address.js';

/** `plumbline findings RUN`: why a run went as it went, from the hub that has it. */
export function addFindingsCommand(program: Command, say: (line: string) => void): void {
  program
    .command('findings')
    .description(
      'say why a run went as it went: what each task came to, what dropped, when, with what, what interventions ' +
        'changed, and what energy it took',
    )
    .argument('<run>', 'id of the run')
    .option('--data-dir <folder>', 'data folder of the hub (PLUMBLINE_DATA_DIR, .plumbline)')
    .option('--json', 'for programs')
    .action(async (run: string, { dataDir, json }: { dataDir?: string; json?: true }) => {
      const config = readConfig({ PLUMBLINE_DATA_DIR: dataDir });
      const url = hubUrl(config.dataDir);
      if (url === null)
        throw new Error(
          `No hub runs on ${config.dataDir}. Start one with npm start, or name its folder with --data-dir.`,
        );
      const runId = RunId.safeParse(run);
      if (!runId.success) throw new Error(`${runId.error.issues[0]!.message}.`);
      const response = await fetch(`${url}/api/runs/${runId.data}/findings`);
      const body = (await response.json()) as FindingsResponse & { error?: { message: string } };
      if (!response.ok) throw new Error(body.error?.message ?? `The hub answered ${response.status}.`);
      if (json) return say(JSON.stringify(body));
      for (const line of findingLines(body.findings)) say(line);
    });
}

/** What a run took is told of each, and does not stand out. */
export function findingLines(findings: FindingsResponse['findings']): string[] {
  const nothing = 'Nothing stands out: no drop beyond the noise, no drift, no intervention.';
  return [
    ...(findings.every(({ kind }) => kind === 'energy') ? [nothing] : []),
    ...findings.map(({ step, text }) => `step ${String(step).padStart(6)}  ${text}`),
  ];
}
