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

/** Flags that select a hub: by a data folder on this machine, or by its address. */
export interface HubFlags {
  dataDir?: string;
  hub?: string;
  tokenFile?: string;
}

/** Adds the options of `HubFlags`. @param dataDir description of `--data-dir` */
export function withHubAddress(
  command: Command,
  dataDir = 'data folder of a hub on this machine (PLUMBLINE_DATA_DIR, .plumbline)',
): Command {
  return command
    .addOption(new Option('--data-dir <folder>', dataDir).conflicts(['hub', 'tokenFile']))
    .option('--hub <url>', 'address of a hub elsewhere')
    .option(
      '--token-file <path>',
      "file with that hub's trainer token; needed to steer, and to watch a hub that is not open",
    );
}

/** Adds the options of `HubFlags` and `--json`. */
export const withHubOptions = (command: Command): Command => withHubAddress(command).option('--json', 'for programs');

/** The hub of the flags. @throws UsageError for conflicting flags, Error when no hub runs on the data folder or the file cannot be read */
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

/** As `hubOf`; null when no hub is named and none runs on the data folder, whose store can then be read directly. */
export const hubIfAny = (flags: HubFlags): HubApi | null =>
  flags.hub === undefined &&
  flags.tokenFile === undefined &&
  hubUrl(readConfig({ PLUMBLINE_DATA_DIR: flags.dataDir }).dataDir) === null
    ? null
    : hubOf(flags);

/** The address of a hub as `--hub` gives it. @throws UsageError */
export function hubAddress(hub: string): string {
  if (!URL.canParse(hub) || !/^https?:$/.test(new URL(hub).protocol))
    throw new UsageError(`--hub takes an address such as http://127.0.0.1:4517, not ${visibleLine(hub)}.`);
  return hub.replace(/\/+$/, '');
}

/**
 * Finds a run at a hub by its id or the beginning of it.
 * @throws Error when no run matches, or several do
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

/** As `findRun`, in the store of a data folder without a running hub. */
export const findStoredRun = async (store: EventStore, dataDir: string, text: string): Promise<StoredRun> =>
  meantRun(text, await store.runs(), `in ${dataDir}. --data-dir names another folder, --hub a hub elsewhere.`);

/**
 * Finds a run in a list by its id or the beginning of it.
 * @param where ends the message that there is no such run
 * @throws UsageError for text that begins no id, Error when no run matches, or several do
 */
export function meantRun<Run extends { runId: RunId }>(text: string, runs: readonly Run[], where: string): Run {
  const whole = runs.find(({ runId }) => runId === text);
  if (whole) return whole;
  const meant = runs.filter(({ runId }) => text !== '' && runId.startsWith(text));
  if (meant.length === 1) return meant[0]!;
  if (meant.length === 0) {
    // Padded to the length of the shortest id: if that is invalid, no id begins with the text.
    const { error } = RunId.safeParse(text.padEnd(3, '0'));
    if (error) throw new UsageError(`${visibleLine(text)}: ${error.issues[0]!.message}.`);
    throw new Error(`There is no run ${visibleLine(text)} ${where}`);
  }
  const named = meant.slice(0, 5).map(({ runId }) => runId);
  const more = meant.length > named.length ? ` and ${meant.length - named.length} more` : '';
  throw new Error(`${text} is the beginning of several runs: ${named.join(', ')}${more}. Give more of it.`);
}
