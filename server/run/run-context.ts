import type { CommandRecord } from '@plumbline/shared/command';
import type { RuleState } from '@plumbline/shared/rule';
import type { RunId, RunSummary } from '@plumbline/shared/run';
import type { TrainerEvent } from '@plumbline/shared/trainer-event';
import type { EventStore, SharedStore } from '../store/event-store.js';
import type { Admission } from './admission.js';
import type { Cluster, ToldRun } from './cluster.js';
import type { DeletedIds } from './deleted-ids.js';
import type { Drain } from './drain.js';
import type { BacklogBudget } from './rules/rule-backlog.js';
import type { RuleReplay } from './rules/rule-replay.js';
import type { NotificationRecord } from './webhook.js';

/** The parts that all runs of a hub share. */
export interface RunContext {
  store: EventStore;
  /** The store, if several hubs share it. */
  shared: SharedStore | null;
  cluster: Cluster;
  admission: Admission;
  deletedIds: DeletedIds;
  replay: RuleReplay;
  backlogs: BacklogBudget;
  drain: Drain;
  trainerGraceMs: number;
  commandExpiryMs: number;
  /** Pause after the store could not be read or written. */
  tryAgainMs: number;
  /** Runs whose trainer process is alive: only its exit ends them, not a lost connection. */
  livingProcesses: ReadonlySet<RunId>;
  /** The mailbox of a run is empty. */
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
  /** The run was found to be deleted: remove its leftovers here. */
  onDeleted: (run: RunSummary) => Promise<void>;
  /** Passes open commands of a run to the hub that has taken it. */
  passOn: (records: readonly CommandRecord[]) => void;
  /** Ends all waiting. */
  closing: AbortSignal;
  onError: (error: unknown) => void;
}
