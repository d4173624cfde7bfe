import { readFileSync } from 'node:fs';
import { Option, type Command } from 'commander';
import { cliUserAgent } from '@plumbline/shared/http';
import { RunId, type RunSummary } from '@plumbline/shared/run';
import { trainerToken } from '../access/trainer-token.js';
import { readConfig } from '../config.js';
import { HubApi, HubRefusal } from '../hub-api.js';
import { UsageError } from './exit-codes.js';
import { demandHubUrl } from './link.js';
import { visibleLine } from '@plumbline/shared/plain-text';
import { version } from './version.js';

/** Says at which hub a command works: that of a data folder on this machine, or one elsewhere. */
export interface HubFlags {
  dataDir?: string;
  hub?: string;
  tokenFile?: string;
}

/** Adds the options of `HubFlags` and `--json`. */
export function withHubOptions(command: Command): Command {
  return command
    .addOption(
      new Option(
        '--data-dir <folder>',
        'data folder of a hub on this machine (PLUMBLINE_DATA_DIR, .plumbline)',
      ).conflicts(['hub', 'tokenFile']),
    )
    .option('--hub <url>', 'address of a hub elsewhere')
    .option('--token-file <path>', "file with that hub's trainer token, which steering takes and watching does not")
    .option('--json', 'for programs');
}

/** @throws UsageError for flags that do not fit, Error when no hub runs on the data folder or the file cannot be read */
export function hubOf({ dataDir, hub, tokenFile }: HubFlags): HubApi {
  const headers = (token: string | undefined) => ({
    'user-agent': `${cliUserAgent}/${version}`,
    ...(token !== undefined && { authorization: `Bearer ${token}` }),
  });
  if (hub === undefined) {
    if (tokenFile !== undefined) throw new UsageError('--token-file goes with --hub.');
    const config = readConfig({ PLUMBLINE_DATA_DIR: dataDir });
    const url = demandHubUrl(config.dataDir);
    return new HubApi(url, headers(trainerToken(config.accessDir ?? config.dataDir)));
  }
  if (!URL.canParse(hub) || !/^https?:$/.test(new URL(hub).protocol))
    throw new UsageError(`--hub takes an address as http://127.0.0.1:4517, not ${visibleLine(hub)}.`);
  const token = tokenFile === undefined ? undefined : readFileSync(tokenFile, 'utf8').trim();
  return new HubApi(hub.replace(/\/+$/, ''), headers(token));
}

/**
 * The run that is meant by its id or by the beginning of it.
 * @throws Error when there is none, or the beginning is that of several
 */
export async function findRun(hub: HubApi, text: string): Promise<RunSummary> {
  const whole = RunId.safeParse(text);
  if (whole.success) {
    const run = await hub.run(whole.data).catch((error: unknown) => {
      if (error instanceof HubRefusal && error.status === 404) return null;
      throw error;
    });
    if (run) return run;
  }
  const meant =
    text === ''
      ? []
      : (await hub.runs(`text=${encodeURIComponent(text.slice(0, 200))}`)).filter(({ runId }) =>
          runId.startsWith(text),
        );
  if (meant.length === 1) return meant[0]!;
  if (meant.length === 0)
    throw new Error(
      `There is no run ${visibleLine(text)} at ${hub.url}. \`plumbline runs\` lists those that are there.`,
    );
  const named = meant.slice(0, 5).map(({ runId }) => runId);
  const more = meant.length > named.length ? ` and ${meant.length - named.length} more` : '';
  throw new Error(`${text} is the beginning of several runs: ${named.join(', ')}${more}. Give more of it.`);
}
