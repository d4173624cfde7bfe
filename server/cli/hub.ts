import { Option, type Command } from 'commander';
import { cliUserAgent } from '@plumbline/shared/http';
import { RunId, type RunSummary } from '@plumbline/shared/run';
import { trainerToken } from '../access/trainer-token.js';
import { readConfig } from '../config.js';
import { HubApi, HubRefusal } from '../hub-api.js';
import { UsageError } from '../usage-error.js';
import { demandHubUrl } from './link.js';
import { visibleLine } from '@plumbline/shared/plain-text';
import { version } from './version.js';
import { hubUrl } from '../hub-address.js';
import type { EventStore, StoredRun } from '../store/event-store.js';
import { readTokenFile } from '../given-file.js';

/** Says at which hub a command works: that of a data folder on this machine, or one elsewhere. */
export interface HubFlags {
  dataDir?: string;
  hub?: string;
  tokenFile?: string;
}

/** Adds the options of `HubFlags`. @param dataDir what the data folder is to this command */
export function withHubAddress(
  command: Command,
  dataDir = 'data folder of a hub on this machine (PLUMBLINE_DATA_DIR, .plumbline)',
): Command {
  return command
    .addOption(new Option('--data-dir <folder>', dataDir).conflicts(['hub', 'tokenFile']))
    .option('--hub <url>', 'address of a hub elsewhere')
    .option(
      '--token-file <path>',
      "file with that hub's trainer token: steering takes it, watching only where that is closed",
    );
}

/** Adds the options of `HubFlags` and `--json`. */
export const withHubOptions = (command: Command): Command => withHubAddress(command).option('--json', 'for programs');

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
  const token = tokenFile === undefined ? undefined : readTokenFile(tokenFile);
  return new HubApi(hubAddress(hub), headers(token));
}

/** As `hubOf`; null when neither a hub is named nor one runs on the data folder, so that its store is free to be read. */
export const hubIfAny = (flags: HubFlags): HubApi | null =>
  flags.hub === undefined &&
  flags.tokenFile === undefined &&
  hubUrl(readConfig({ PLUMBLINE_DATA_DIR: flags.dataDir }).dataDir) === null
    ? null
    : hubOf(flags);

/** The address of a hub as `--hub` gives it. @throws UsageError */
export function hubAddress(hub: string): string {
  if (!URL.canParse(hub) || !/^https?:$/.test(new URL(hub).protocol))
    throw new UsageError(`--hub takes an address as http://127.0.0.1:4517, not ${visibleLine(hub)}.`);
  return hub.replace(/\/+$/, '');
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
  const found = text === '' ? [] : await hub.runs(`text=${encodeURIComponent(text.slice(0, 200))}`);
  return meantRun(text, found, `at ${hub.url}. \`plumbline runs\` lists those that are there.`);
}

/** As `findRun`, in the store of a data folder on which no hub runs. */
export const findStoredRun = async (store: EventStore, dataDir: string, text: string): Promise<StoredRun> =>
  meantRun(text, await store.runs(), `in ${dataDir}. --data-dir names another folder, --hub a hub elsewhere.`);

/**
 * The run of a list that is meant by its id or by the beginning of it.
 * @param where is said where there is none
 * @throws UsageError for what no id begins with, Error when there is none, or the beginning is that of several
 */
export function meantRun<Run extends { runId: RunId }>(text: string, runs: readonly Run[], where: string): Run {
  const whole = runs.find(({ runId }) => runId === text);
  if (whole) return whole;
  const meant = runs.filter(({ runId }) => text !== '' && runId.startsWith(text));
  if (meant.length === 1) return meant[0]!;
  if (meant.length === 0) {
    // Made as long as the shortest id: what is refused now begins no id.
    const { error } = RunId.safeParse(text.padEnd(3, '0'));
    if (error) throw new UsageError(`${visibleLine(text)}: ${error.issues[0]!.message}.`);
    throw new Error(`There is no run ${visibleLine(text)} ${where}`);
  }
  const named = meant.slice(0, 5).map(({ runId }) => runId);
  const more = meant.length > named.length ? ` and ${meant.length - named.length} more` : '';
  throw new Error(`${text} is the beginning of several runs: ${named.join(', ')}${more}. Give more of it.`);
}
