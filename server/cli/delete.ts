import { createInterface } from 'node:readline/promises';
import type { Command } from 'commander';
import { goneWords, planDeletion } from '@plumbline/shared/deletion';
import type { DeletedRun } from '@plumbline/shared/http';
import { hasEnded, RunId, type RunSummary } from '@plumbline/shared/run';
import { Sessions } from '../access/sessions.js';
import { readConfig, type HubConfig } from '../config.js';
import { hubUrl } from '../hub-address.js';
import { removeRunFolder } from '../run/run-folder.js';
import { openStore } from '../store/open-store.js';
import { HubSession } from '../hub-api.js';

type Say = (line: string) => void;
type Listed = Omit<RunSummary, 'trainerConnected'>;

/** Where runs are deleted: at the hub that has them, or in the store where none runs. */
interface Place {
  runs(): Promise<Listed[]>;
  delete(runId: RunId): Promise<DeletedRun>;
  close(): Promise<void>;
  /** Said of runs that have not ended, beside that they have to be stopped. */
  ofLive: string;
}

/** `plumbline delete RUN...`: removes ended runs for good, after asking. */
export function addDeleteCommand(program: Command, say: Say): void {
  program
    .command('delete')
    .description('delete runs that have ended, with their events, commands and checkpoints, for good')
    .argument('<runs...>', 'ids of runs')
    .option('--yes', 'without being asked')
    .option('--data-dir <folder>', 'where runs are kept (PLUMBLINE_DATA_DIR, .plumbline)')
    .action(async (ids: string[], { yes = false, dataDir }: { yes?: boolean; dataDir?: string }) => {
      const config = readConfig({ PLUMBLINE_DATA_DIR: dataDir });
      const asked = new Set(ids.map(runIdOf));
      const url = hubUrl(config.dataDir);
      const place = url === null ? inStore(config) : await atHub(url, config);
      try {
        const goes = await demandAll(asked, place, config);
        await confirm(goes, yes, dataDir, say);
        for (const { runId } of goes) say(`Deleted ${runId}: ${goneWords(await place.delete(runId))}.`);
        say('The room in the store is used again by later runs.');
      } catch (error) {
        // What went wrong first is what to say: a hub that went away does not take the session back either.
        await place.close().catch(() => undefined);
        throw error;
      }
      await place.close();
    });
}

/** The runs in an order in which they can be deleted. @throws Error when one cannot be, before any is */
async function demandAll(asked: ReadonlySet<RunId>, place: Place, { dataDir }: HubConfig): Promise<Listed[]> {
  const runs = await place.runs();
  for (const runId of asked)
    if (!runs.some((run) => run.runId === runId))
      throw new Error(`There is no run ${runId} in ${dataDir}. --data-dir names another folder. Nothing was deleted.`);
  const chosen = runs.filter(({ runId }) => asked.has(runId));
  const { goes, stays } = planDeletion(chosen, runs);
  if (stays.length === 0) return goes;
  const reasons = stays.map(({ run, why }) => why + (hasEnded(run.state) ? '' : place.ofLive));
  throw new Error([...reasons, 'Nothing was deleted.'].join('\n'));
}

/** @throws Error when the answer is no, or nobody can be asked */
async function confirm(runs: readonly Listed[], yes: boolean, dataDir: string | undefined, say: Say): Promise<void> {
  if (yes) return;
  for (const { runId, description, state, lastSeq } of runs)
    say(`${runId}  ${description.name}, ${state}, ${lastSeq.toLocaleString('en-US')} events`);
  if (!process.stdin.isTTY)
    throw new Error('Nothing was deleted, as nobody is there to ask. --yes deletes without asking.');
  const lines = createInterface({ input: process.stdin, output: process.stdout });
  const what = runs.length === 1 ? 'this run' : `these ${runs.length} runs`;
  const where = dataDir === undefined ? '' : ` --data-dir ${dataDir}`;
  const answer = await lines
    .question(
      `Delete ${what} with events, commands and checkpoints? There is no way back; ` +
        `\`npm run plumbline -- export ${runs[0]!.runId}${where}\` keeps a copy first. [y/N] `,
    )
    .finally(() => lines.close());
  if (!/^y(es)?$/i.test(answer.trim())) throw new Error('Nothing was deleted.');
}

async function atHub(url: string, { accessDir, dataDir }: HubConfig): Promise<Place> {
  const sessions = new Sessions(accessDir ?? dataDir, dataDir);
  const session = await HubSession.open({ url, token: sessions.createLink() });
  return {
    runs: () => session.runs(),
    delete: (runId) => session.delete(runId),
    close: () => session.giveUp(),
    ofLive: '',
  };
}

function inStore(config: HubConfig): Place {
  if (config.redisUrl !== null)
    throw new Error('Several hubs share these runs and would not hear of it: start the hub of this data folder first.');
  const store = openStore(config, { mustExist: true });
  return {
    runs: () => store.runs(),
    // In this order, as at a hub: see RunDeletion.
    delete: async (runId) => {
      const events = await store.lastSeq(runId);
      await store.deleteRun(runId);
      return { runId, events, bytes: await removeRunFolder(config.dataDir, runId) };
    },
    close: () => store.close(),
    ofLive: ' Start its hub for that; it also finds out whether the trainer still lives.',
  };
}

function runIdOf(text: string): RunId {
  const parsed = RunId.safeParse(text);
  if (!parsed.success) throw new Error(`${text}: ${parsed.error.issues[0]!.message}.`);
  return parsed.data;
}
