import { rm } from 'node:fs/promises';
import { InvalidArgumentError, Option, type Command } from 'commander';
import { RunId } from '@plumbline/shared/run';
import type { UnsentEventsHeader } from '@plumbline/shared/unsent-events';
import { influxStoreConfig, readConfig, type HubConfig } from '../config.js';
import { hubUrl } from '../hub-address.js';
import type { HubApi } from '../hub-api.js';
import { StoreInUseError, type EventStore } from '../store/event-store.js';
import { openStore, storeKinds, type StoreKind } from '../store/open-store.js';
import { copyRuns } from '../transfer/copy-runs.js';
import { exportFormats, exportPath, exportRun, partialPath, type ExportFormat } from '../transfer/export-run.js';
import { downloadRun } from '../transfer/hub-download.js';
import { importRun } from '../transfer/import-run.js';
import { openJsonl } from '../transfer/jsonl-file.js';
import { archiveOf } from '../transfer/run-archive.js';
import { unfinishedNote, type Progress } from '../transfer/store-run.js';
import { findRun, findStoredRun, hubOf, withHubAddress, type HubFlags } from './hub.js';
import { handInEvents, unsentEventsOf } from '../transfer/unsent-events.js';

interface Flags {
  dataDir?: string;
}
interface ExportFlags extends HubFlags {
  format: ExportFormat;
  out?: string;
}
type Say = (line: string) => void;

/** `plumbline export`, `import` and `copy`: move runs between places. */
export function addTransferCommands(program: Command, say: Say): void {
  const dataDir = () => new Option('--data-dir <folder>', 'where runs are kept (PLUMBLINE_DATA_DIR, .plumbline)');
  withHubAddress(
    program
      .command('export')
      .description('write a run to a file or folder that anyone can read and `npm run plumbline -- import` takes back')
      .argument('<run>', 'id of the run, or the beginning of it')
      .addOption(
        new Option('--format <format>', 'jsonl: one text file; parquet, csv: a folder with a table of all numbers')
          .choices(exportFormats)
          .default('jsonl'),
      )
      .option('--out <path>', 'a new file or folder, or an existing folder'),
    'where runs are kept, with a hub running or not (PLUMBLINE_DATA_DIR, .plumbline)',
  ).action((text: string, flags: ExportFlags) => exportAction(text, flags, say));
  program
    .command('import')
    .description('bring an exported run, or the events that a trainer could not give to its hub, into the store')
    .argument('<path>', 'what `npm run plumbline -- export` wrote, or unsent-events.jsonl of a trainer')
    .option('--as <id>', 'another id for the run', runId)
    .addOption(dataDir())
    .action((path: string, flags: Flags & { as?: RunId }) => importAction(path, flags, say));
  program
    .command('copy')
    .description('copy runs from one kind of store to another; an interrupted copy can be resumed')
    .argument('[runs...]', 'ids of runs; all when none is given', (id: string, ids: RunId[] = []) => [
      ...ids,
      runId(id),
    ])
    .addOption(new Option('--from <store>', 'store to read').choices(storeKinds).makeOptionMandatory())
    .addOption(new Option('--to <store>', 'store to write').choices(storeKinds).makeOptionMandatory())
    .addOption(dataDir())
    .action((runs: RunId[], flags: Flags & { from: StoreKind; to: StoreKind }) => copyAction(runs, flags, say));
}

async function exportAction(text: string, flags: ExportFlags, say: Say): Promise<void> {
  if (flags.hub !== undefined || flags.tokenFile !== undefined) return exportFrom(hubOf(flags), text, flags, say);
  const config = configOf(flags);
  const store = openStore(config, { mustExist: true });
  try {
    const { runId } = await findStoredRun(store, config.dataDir, text);
    await writeExport(await archiveOf(store, runId), flags, say);
  } catch (error) {
    // Asks the process that holds the store: the lock is a surer sign of a running hub than the address file.
    if (!(error instanceof StoreInUseError) || hubUrl(config.dataDir) === null) throw error;
    await exportFrom(hubOf(flags), text, flags, say);
  } finally {
    await store.close();
  }
}

async function exportFrom(hub: HubApi, text: string, flags: ExportFlags, say: Say): Promise<void> {
  const { runId } = await findRun(hub, text);
  const download = partialPath(`${await exportPath(runId, flags.format, flags.out)}.download`);
  try {
    await downloadRun(hub.url, hub.headers, runId, download);
    await writeExport(await openJsonl(download), flags, say);
  } finally {
    await rm(download, { force: true });
  }
}

async function writeExport(
  archive: Parameters<typeof exportRun>[0],
  { format, out }: ExportFlags,
  say: Say,
): Promise<void> {
  const { runId } = archive.run;
  const path = await exportPath(runId, format, out);
  const digest = await exportRun(archive, format, path);
  say(`Exported ${runId} to ${path}: ${archive.lastSeq} events, ${digest}.${unfinishedNote(archive)}`);
}

async function importAction(path: string, { as, ...flags }: Flags & { as?: RunId }, say: Say): Promise<void> {
  const config = configOf(flags);
  const lost = await unsentEventsOf(path);
  if (lost) return handInAction(path, lost, as, config, say);
  const progress: Progress = (run, seq, lastSeq) => say(`${run}: ${seq} of ${lastSeq} events`);
  await withStores([openStore(config)], config.dataDir, async ([store]) => {
    const { archive, digest, unchanged } = await importRun(path, store!, as, progress);
    const { runId: id } = archive.run;
    if (unchanged) say(`${id} is already there with the same digest: nothing to do.`);
    else say(`Imported ${id}: ${archive.lastSeq} events, ${digest}.${unfinishedNote(archive)}`);
  });
}

/** Appends unsent events of a trainer. The run's state and its commands follow when a hub starts on the store. */
async function handInAction(
  path: string,
  lost: UnsentEventsHeader,
  as: RunId | undefined,
  config: HubConfig,
  say: Say,
): Promise<void> {
  const { runId: run } = lost;
  if (as) throw new Error(`${path} has the last events of ${run}, not a run of its own: leave --as out.`);
  await withStores([openStore(config, { mustExist: true })], config.dataDir, async ([store]) => {
    const { appended, lastSeq } = await handInEvents(path, lost, store!);
    if (appended === 0) say(`${run} has these events already: nothing to do.`);
    else say(`Handed in ${appended} events of ${run}, which now has ${lastSeq}. They show when its hub is started.`);
  });
}

async function copyAction(
  runs: RunId[],
  { from, to, ...flags }: Flags & { from: StoreKind; to: StoreKind },
  say: Say,
): Promise<void> {
  if (from === to) throw new Error(`--from and --to are both ${from}: there is nothing to copy.`);
  const config = configOf(flags);
  const stores = [openStore(at(from, config), { mustExist: true }), openStore(at(to, config))];
  await withStores(stores, config.dataDir, async ([source, target]) => {
    const failed = await copyRuns(source!, target!, runs, say);
    if (failed.length > 0) throw new Error(`${failed.length} of the runs could not be copied: ${failed.join(', ')}.`);
  });
}

/** Works with two stores and always closes them; says what to do if a hub holds one. */
async function withStores(
  stores: EventStore[],
  dataDir: string,
  work: (stores: EventStore[]) => Promise<void>,
): Promise<void> {
  try {
    await work(stores);
  } catch (error) {
    if (!(error instanceof StoreInUseError)) throw error;
    const url = hubUrl(dataDir);
    throw new Error(
      `${url ? `The hub at ${url}` : 'Another program'} has the store in ${dataDir} open. ` +
        'Stop it first (Ctrl-C where it runs), then do this again.',
      { cause: error },
    );
  } finally {
    for (const store of stores) await store.close();
  }
}

/** Opens a store of this kind, whichever the hub itself uses. */
const at = (kind: StoreKind, config: HubConfig): HubConfig => ({
  ...config,
  store: kind === 'influx' ? influxStoreConfig(config.dataDir) : { kind },
});

const configOf = ({ dataDir }: Flags) => readConfig({ PLUMBLINE_DATA_DIR: dataDir });

function runId(text: string): RunId {
  const parsed = RunId.safeParse(text);
  if (!parsed.success) throw new InvalidArgumentError(`${parsed.error.issues[0]!.message}.`);
  return parsed.data;
}
