import { createInterface } from 'node:readline/promises';
import { Option, type Command } from 'commander';
import { goneWords, planDeletion } from '@plumbline/shared/deletion';
import type { DeletedRun } from '@plumbline/shared/http';
import { hasEnded, type RunId, type RunSummary } from '@plumbline/shared/run';
import { Sessions } from '../access/sessions.js';
import { readConfig, type HubConfig } from '../config.js';
import { hubUrl } from '../hub-address.js';
import { removeRunFolder } from '../run/run-folder.js';
import { openStore } from '../store/open-store.js';
import { HubSession, type HubAddress } from '../hub-api.js';
import { UsageError } from '../usage-error.js';
import { hubAddress, meantRun } from './hub.js';

interface Flags {
  yes?: boolean;
  dataDir?: string;
  hub?: string;
}
type Say = (line: string) => void;
type Listed = Omit<RunSummary, 'trainerConnected'>;

/** Where runs are deleted: at their hub, or in the store if no hub runs. */
interface Place {
  runs(): Promise<Listed[]>;
  delete(runId: RunId): Promise<DeletedRun>;
  close(): Promise<void>;
  /** Message for a run that does not exist. */
  where: string;
  /** Addition to the message that runs have to be stopped first. */
  ofLive: string;
}

/** `plumbline delete RUN...`: removes ended runs for good, after asking. */
export function addDeleteCommand(program: Command, say: Say): void {
  program
    .command('delete')
    .description('delete runs that have ended, with their events, commands and checkpoints, for good')
    .argument('<runs...>', 'ids of runs, or the beginnings of them')
    .option('--yes', 'delete without asking')
    .addOption(
      new Option(
        '--data-dir <folder>',
        'where runs are kept, with a hub running or not (PLUMBLINE_DATA_DIR, .plumbline)',
      ).conflicts('hub'),
    )
    .option('--hub <link>', 'a hub elsewhere, by a one-time link that `plumbline link` prints there')
    .action(async (texts: string[], flags: Flags) => {
      const place = await placeOf(flags);
      try {
        const goes = await demandAll(texts, place);
        await confirm(goes, flags, say);
        for (const { runId } of goes) say(`Deleted ${runId}: ${goneWords(await place.delete(runId))}.`);
        say('Later runs reuse the space in the store.');
      } catch (error) {
        // Reports the first error: a hub that went away cannot end the session either.
        await place.close().catch(() => undefined);
        throw error;
      }
      await place.close();
    });
}

/** Sorts runs into an order in which they can be deleted. @throws Error, before any is deleted, when one cannot be */
async function demandAll(texts: readonly string[], place: Place): Promise<Listed[]> {
  const runs = await place.runs();
  const asked = new Set(texts.map((text) => meantRun(text, runs, `${place.where} Nothing was deleted.`).runId));
  const chosen = runs.filter(({ runId }) => asked.has(runId));
  const { goes, stays } = planDeletion(chosen, runs);
  if (stays.length === 0) return goes;
  const reasons = stays.map(({ run, why }) => why + (hasEnded(run.state) ? '' : place.ofLive));
  throw new Error([...reasons, 'Nothing was deleted.'].join('\n'));
}

/** Asks for confirmation. @throws Error when the answer is no, or nobody can be asked */
async function confirm(runs: readonly Listed[], { yes = false, dataDir, hub }: Flags, say: Say): Promise<void> {
  if (yes) return;
  for (const { runId, description, state, lastSeq } of runs)
    say(`${runId}  ${description.name}, ${state}, ${lastSeq.toLocaleString('en-US')} events`);
  if (!process.stdin.isTTY)
    throw new Error('Nothing was deleted, as nobody is there to ask. --yes deletes without asking.');
  const lines = createInterface({ input: process.stdin, output: process.stdout });
  const what = runs.length === 1 ? 'this run' : `these ${runs.length} runs`;
  const where =
    hub !== undefined ? ` --hub ${new URL(hub).origin}` : dataDir === undefined ? '' : ` --data-dir ${dataDir}`;
  const answer = await lines
    .question(
      `Delete ${what} with events, commands and checkpoints? There is no way back; ` +
        `\`npm run plumbline -- export ${runs[0]!.runId}${where}\` keeps a copy first. [y/N] `,
    )
    .finally(() => lines.close());
  if (!/^y(es)?$/i.test(answer.trim())) throw new Error('Nothing was deleted.');
}

async function placeOf({ dataDir, hub }: Flags): Promise<Place> {
  if (hub !== undefined) return atHub(linkOf(hub), `at ${new URL(hub).origin}.`);
  const config = readConfig({ PLUMBLINE_DATA_DIR: dataDir });
  const url = hubUrl(config.dataDir);
  const where = `in ${config.dataDir}. --data-dir names another folder, --hub a hub elsewhere.`;
  if (url === null) return inStore(config, where);
  return atHub({ url, token: new Sessions(config.accessDir ?? config.dataDir).createLink() }, where);
}

/** Deletes at a hub. It takes a session, as in a browser: the trainer token, which is on every training machine, is not enough. */
function linkOf(text: string): HubAddress {
  const url = hubAddress(text);
  const token = new URL(url).searchParams.get('token');
  if (token === null)
    throw new UsageError(
      'Deleting takes more than an address: --hub needs the one-time link that `plumbline link` prints where that hub runs.',
    );
  return { url: new URL('.', url).href.replace(/\/+$/, ''), token };
}

async function atHub(link: HubAddress, where: string): Promise<Place> {
  const session = await HubSession.open(link);
  return {
    where,
    runs: () => session.runs(),
    delete: (runId) => session.delete(runId),
    close: () => session.giveUp(),
    ofLive: '',
  };
}

function inStore(config: HubConfig, where: string): Place {
  if (config.redisUrl !== null)
    throw new Error('Several hubs share these runs and have to be told: start the hub of this data folder first.');
  const store = openStore(config, { mustExist: true });
  return {
    where,
    runs: () => store.runs(),
    // In the same order as at a hub: see RunDeletion.
    delete: async (runId) => {
      const events = await store.lastSeq(runId);
      await store.deleteRun(runId);
      return { runId, events, bytes: await removeRunFolder(config.dataDir, runId) };
    },
    close: () => store.close(),
    ofLive: ' Start its hub for that; it also finds out whether the trainer still lives.',
  };
}
