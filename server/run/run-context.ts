import type { CommandRecord } from '@plumbline/shared/command';
import type { RuleState } from '@plumbline/shared/rule';
import type { RunId, RunSummary } from '@plumbline/shared/run';
import type { TrainerEvent } from '@plumbline/shared/trainer-event';
import type { EventStore, SharedStore } from '../store/event-store.js';
import type { Admission } from './admission.js';
import type { Cluster, ToldRun } from './cluster.js';
import type { DeletedIds } from './deleted-ids.js';
import type { Drain } from './drain.js';
import type { RuleReplay } from './rules/rule-replay.js';
import type { NotificationRecord } from './webhook.js';

/** What all runs of a hub have in common. */
export interface RunContext {
  store: EventStore;
  /** The store, where it is one that several hubs share. */
  shared: SharedStore | null;
  cluster: Cluster;
  admission: Admission;
  deletedIds: DeletedIds;
  replay: RuleReplay;
  drain: Drain;
  trainerGraceMs: number;
  commandExpiryMs: number;
  /** Pause after the store could not be read or written. */
  tryAgainMs: number;
  /** Runs whose trainer's process is known to live: their end is told by its exit, not by a lost connection. */
  livingProcesses: ReadonlySet<RunId>;
  /** All that was posted to a run has been handled. */
  onIdle: (runId: RunId) => void;
  onChange: (told: ToldRun, before: RunSummary | undefined) => void;
  onEvents: (runId: RunId, events: TrainerEvent[]) => void;
  onCommand: (record: CommandRecord) => void;
  /** A notification is to be delivered. */
  onNotification: (record: NotificationRecord) => void;
  onRules: (runId: RunId, states: RuleState[]) => void;
  onAttached: (run: RunSummary) => void;
  /** A person ended the run without its trainer. */
  onEndedByForce: (run: RunSummary) => void;
  /** The run was found to be no more; what is left of it here is to be removed. */
  onDeleted: (run: RunSummary) => Promise<void>;
  /** Gives open commands of a run that another hub has taken to whichever hub has it. */
  passOn: (records: readonly CommandRecord[]) => void;
  /** Ends all waiting. */
  closing: AbortSignal;
  onError: (error: unknown) => void;
}
