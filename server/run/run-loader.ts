import { setTimeout as sleep } from 'node:timers/promises';
import type { CommandRecord } from '@plumbline/shared/command';
import { hasEnded, type RunId } from '@plumbline/shared/run';
import type { EventStore, SharedStore } from '../store/event-store.js';
import type { Cluster } from './cluster.js';
import { controlEventsOf } from './control-events.js';
import { restoringTypes } from './run-lease.js';
import type { Run } from './run.js';

/** Pause before the events of a run are read again after an incomplete read. */
const lookAgainMs = 5_000;

export interface RunLoaderOptions {
  store: EventStore;
  /** The store, if several hubs share it. */
  shared: SharedStore | null;
  cluster: Cluster;
  /** The owner of a run id, whether the run exists or not. */
  owner: (runId: RunId) => Run;
  /** The owner of a run id, if it is in memory. */
  find: (runId: RunId) => Run | undefined;
  owners: () => Iterable<Run>;
  /** Passes commands to the hubs that hold their runs. */
  passOn: (records: readonly CommandRecord[]) => void;
  /** Finishes deletions that the last hub began. */
  finishDeletions: () => Promise<void>;
  /** All runs are read. */
  onLoaded: () => void;
  /** Ends all waiting. */
  closing: AbortSignal;
  onError: (error: unknown) => void;
}

/** Reads the stored runs at the start of a hub, and settles what the hub before it left open. */
export class RunLoader {
  #loading: Promise<void> | null = null;

  constructor(readonly options: RunLoaderOptions) {}

  /** Reads all runs once. After a failure the next call tries again. */
  load(): Promise<void> {
    this.#loading ??= this.#load().catch((error: unknown) => {
      this.#loading = null;
      throw error;
    });
    return this.#loading;
  }

  async #load(): Promise<void> {
    const { store, shared, cluster, owner, find, passOn, finishDeletions, onLoaded, onError } = this.options;
    const undelivered = (await shared?.undelivered()) ?? [];
    // One by one: each needs its events, and a store has memory for few large texts at a time.
    for (const stored of await store.runs()) await owner(stored.runId).lease.load(stored);
    // Another hub may have given up runs that ended here before this hub crashed.
    for (const runId of undelivered) {
      const run = find(runId);
      if (run?.summary && hasEnded(run.summary.state)) cluster.tell(run.core.record.told);
    }
    // Only this hub knows commands that it took before a crash, whose run has moved or ended since.
    const leftOver = (await shared?.leftOver()) ?? [];
    passOn(leftOver.filter(({ runId }) => find(runId)?.core.record.isHeld !== true));
    void this.#takeUpNotifications().catch(onError);
    await finishDeletions().catch(onError);
    void this.#correctFailed().catch(onError);
    onLoaded();
  }

  async #takeUpNotifications(): Promise<void> {
    const { store, owner } = this.options;
    for (const runId of await store.runsWithOpenCommands()) await owner(runId).lease.takeUpNotifications();
  }

  /** Checks each failed run once for a last word of its trainer that says otherwise, and waits for late events. */
  async #correctFailed(): Promise<void> {
    const { store, owners, closing, onError } = this.options;
    for (const run of [...owners()])
      while (!closing.aborted && run.summary?.state === 'failed')
        try {
          const { events, lastSeq } = await controlEventsOf(store, run.runId, { types: restoringTypes });
          await run.lease.correctBy(events);
          // The rest is on its way.
          if (lastSeq >= (await store.lastSeq(run.runId))) break;
          await sleep(lookAgainMs, undefined, { ref: false });
        } catch (error) {
          if (closing.aborted) return;
          onError(error);
          await sleep(lookAgainMs, undefined, { ref: false });
        }
  }
}
