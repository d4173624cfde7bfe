import { setTimeout as sleep } from 'node:timers/promises';
import { whyNotDelete } from '@plumbline/shared/deletion';
import type { DeletedRun } from '@plumbline/shared/http';
import type { RunId, RunSummary } from '@plumbline/shared/run';
import type { EventStore } from '../store/event-store.js';
import type { CommandLog } from './command-log.js';
import { alone, type DeletedOne, type Peers } from './peers.js';
import { Refusal } from './refusal.js';
import { removeRunFolder } from './run-folder.js';
import type { RuleWatch } from './rule-watch.js';
import type { RunEnding } from './run-ending.js';
import type { RunTable } from './run-table.js';
import type { RunWork } from './run-work.js';
import type { TrainerLinks } from './trainer-links.js';

/** A trainer that has just said its last word, and the hub that writes down what follows, are waited for so long. */
const settleMs = 5_000;
const lookMs = 50;
/** How often runs are looked for that another hub has deleted without being heard. */
const missedMs = 60_000;

export interface DeletionParts {
  store: EventStore;
  peers: Peers;
  table: RunTable;
  work: RunWork;
  links: TrainerLinks;
  commands: CommandLog;
  rules: RuleWatch;
  ending: RunEnding;
  /** Runs whose trainer's process lives. */
  livingProcesses: ReadonlySet<RunId>;
  dataDir: string;
  onDeleted: (run: DeletedOne, by: string | null) => void;
  /** What was left of a deleted run in this hub's folders is removed. */
  onCleared: (runId: RunId, bytes: number) => void;
  onError: (error: unknown) => void;
}

/**
 * Deletes runs that have ended. The store comes first: from then on a run is shown nowhere, and it is noted there that it
 * was deleted. Its folder comes after; should that be left, in a crash or because it cannot be removed, or lie with a hub
 * that was away, it is removed when that hub starts. The other way round a run would be shown whole whose checkpoints are
 * gone in part.
 */
export class RunDeletion {
  /** Those that were deleted since this hub started, by when they were created: late news of them is none. */
  readonly #gone = new Map<RunId, number>();
  /** Those of which something may still be here, because that could not be cleared away; by when they were created. */
  readonly #uncleared = new Map<RunId, number | null>();
  #looking: NodeJS.Timeout | undefined;

  constructor(readonly parts: DeletionParts) {}

  /**
   * @param by who deletes it, for whoever listens
   * @returns what went with it
   * @throws Refusal `conflict` when it has not ended, has branches or is not let go of in time; `internal` when its folder
   *   could not be removed, with the run deleted all the same
   */
  async delete(run: RunSummary, by: string): Promise<DeletedRun> {
    const { runId } = run;
    const { peers, table, work } = this.parts;
    this.#refuse(runId, table.all);
    const endMs = performance.now() + settleMs;
    while (this.#isBusy(runId) || !(await peers.claimIfFree(runId)) || this.#isBusy(runId)) {
      if (performance.now() > endMs)
        throw new Refusal(
          'conflict',
          `Something is still at work on ${runId}: its trainer, an export, or a notification that another hub delivers. ` +
            'Delete the run when that is over.',
        );
      await sleep(lookMs);
    }
    // It may have come back meanwhile, or a branch begun. Between this and the mark nothing is waited for.
    this.#refuse(runId, table.all);
    return work.deleting(runId, () => this.#delete(run, by));
  }

  async #delete(run: RunSummary, by: string): Promise<DeletedRun> {
    const { runId } = run;
    const { store, peers, table, dataDir } = this.parts;
    // A branch that another hub has begun a moment ago may not have been told of yet.
    if (peers !== alone) this.#refuse(runId, [...(await store.runs()), ...table.all]);
    const { lastSeq: events } = table.get(runId)!;
    await store.deleteRun(runId);
    this.#forget(run, by);
    peers.tellDeleted(run);
    const bytes = await removeRunFolder(dataDir, runId).catch((error: unknown) => {
      const cause = error instanceof Error ? error.message : String(error);
      throw new Refusal(
        'internal',
        `The run ${runId} is deleted, but its folder could not be removed (${cause}). The hub tries again when it is started.`,
      );
    });
    return { runId, events, bytes };
  }

  /**
   * A trainer brings a run that this hub does not know.
   * @param acknowledgedSeq up to where it was told that its events are durable
   * @throws Refusal `conflict` when it was deleted after that: what is left of it at the trainer is no whole run
   */
  async refuseRest(runId: RunId, acknowledgedSeq: number): Promise<void> {
    if (acknowledgedSeq === 0 || !(await this.#isDeleted(runId))) return;
    throw new Refusal(
      'conflict',
      `The run ${runId} was deleted, with the ${acknowledgedSeq} events that it had. Start a new run.`,
    );
  }

  /** A trainer brings a branch. @throws Refusal `conflict` when the run that it goes on from was deleted */
  async refuseBranchOfDeleted(parent: RunId): Promise<void> {
    if (!this.parts.table.get(parent) && (await this.#isDeleted(parent)))
      throw new Refusal('conflict', `The run ${parent}, which this is a branch of, was deleted. Start a new run.`);
  }

  /** Forgets the run where another hub has deleted it and this one did not hear. @returns whether that was so */
  async missed(run: DeletedOne): Promise<boolean> {
    if (this.parts.peers === alone || !(await this.#isDeleted(run.runId))) return false;
    await this.heard(run);
    return true;
  }

  async #isDeleted(runId: RunId): Promise<boolean> {
    return (await this.parts.store.deletedRuns()).includes(runId);
  }

  /** Whether this is late news of a run that was deleted, not of a later one under its id. */
  isGone({ runId, createdMs }: DeletedOne): boolean {
    return this.#gone.get(runId) === createdMs;
  }

  /** Another hub has deleted a run. */
  async heard(run: DeletedOne): Promise<void> {
    const known = this.parts.table.get(run.runId);
    // There is a later one under its id already.
    if (known && known.createdMs !== run.createdMs) return;
    this.#forget(run, null);
    await this.#clear(run.runId, run.createdMs);
  }

  /** Goes on with what was left when this hub ended, and does what it did not hear of meanwhile. */
  async finish(): Promise<void> {
    const { store, peers, table, onError } = this.parts;
    if (peers !== alone)
      this.#looking ??= setInterval(() => void this.#lookForMissed().catch(onError), missedMs).unref();
    for (const runId of await store.deletedRuns()) if (!table.get(runId)) await this.#clear(runId, null).catch(onError);
    if (peers !== alone) await this.#lookForMissed();
  }

  /** Ends all looking. */
  close(): void {
    clearInterval(this.#looking);
  }

  /** Forgets the runs that other hubs have deleted without this one hearing: while Redis was gone, or they crashed. */
  async #lookForMissed(): Promise<void> {
    const { store, table, onError } = this.parts;
    for (const runId of await store.deletedRuns()) {
      const run = table.get(runId);
      // A new one under its id is in the store before it is known here.
      if (run && !(await store.run(runId))) await this.heard(run);
    }
    for (const [runId, createdMs] of this.#uncleared) await this.#clear(runId, createdMs).catch(onError);
  }

  /** What this hub alone has of a run that is deleted: its folder, and what it has yet to deliver to the store. */
  async #clear(runId: RunId, createdMs: number | null): Promise<void> {
    const { store, table, dataDir } = this.parts;
    this.#uncleared.set(runId, createdMs);
    // Tried again later, the folder may be a new run's under its id.
    const bytes = table.get(runId) ? 0 : await removeRunFolder(dataDir, runId);
    if (bytes > 0) this.parts.onCleared(runId, bytes);
    if ((await store.undelivered?.())?.includes(runId)) await store.deleteRest?.(runId, createdMs);
    store.forget?.(runId);
    this.#uncleared.delete(runId);
  }

  /** @param runs among which there may be branches of it */
  #refuse(runId: RunId, runs: readonly Pick<RunSummary, 'runId' | 'parent' | 'state'>[]): void {
    const run = this.parts.table.get(runId);
    if (!run) throw new Refusal('not_found', `There is no run ${runId} any more.`);
    const why = whyNotDelete(run, runs);
    if (why !== null) throw new Refusal('conflict', why);
  }

  /** Whether something may still be written of a run that has ended, or somebody else deletes it. */
  #isBusy(runId: RunId): boolean {
    const { table, work, ending, livingProcesses } = this.parts;
    if (work.isUnderWay(runId) || work.isBeingDeleted(runId)) return true;
    return livingProcesses.has(runId) || table.owes(runId) || ending.isUnderWay(runId);
  }

  #forget({ runId, createdMs }: DeletedOne, by: string | null): void {
    const { table, links, commands, rules } = this.parts;
    this.#gone.set(runId, createdMs);
    rules.forget(runId);
    links.forget(runId);
    // A notification that is still to be delivered is of a run that nobody can look at any more.
    commands.forget(runId);
    table.delete(runId);
    this.parts.onDeleted({ runId, createdMs }, by);
  }
}
