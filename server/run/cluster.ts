import type { CommandRecord, GivenCommand } from '@plumbline/shared/command';
import type { RunId, RunSummary } from '@plumbline/shared/run';

/** The progress of a run at the hub that holds it. */
export interface Progress {
  runId: RunId;
  lastSeq: number;
  lastStep: number;
}

/** Identifies a deleted run: a later one may have its id. */
export type DeletedOne = Pick<RunSummary, 'runId' | 'createdMs'>;

/** A run in messages between hubs, with fields that browsers do not get. */
export interface ToldRun {
  run: RunSummary;
  /** See StoredRun. */
  trainerSecretDigest?: string | undefined;
  /** A person ended it without its trainer. */
  isEndedByForce?: boolean | undefined;
}

/** The callbacks of a hub for messages from the others. */
export interface ClusterHandlers {
  /** A run of another hub appeared or changed. */
  onRun(told: ToldRun): void;
  onProgress(progress: readonly Progress[]): void;
  /** Another hub has taken this run: its trainer connected there. */
  onTaken(runId: RunId): void;
  /** Another hub has deleted a run. */
  onDeleted(run: DeletedOne): void;
  /** A hub is gone, so that nobody holds these runs. */
  onOrphaned(runIds: readonly RunId[]): void;
  /** Another hub received a command for a run that this one holds. */
  command(command: GivenCommand, author: string): Promise<CommandRecord>;
  /** Another hub saw the trainer process of a run of this hub end. */
  trainerLost(runId: RunId, reason: string): Promise<void>;
  /** Runs whose trainer is connected here, which this hub claims against all others; and all it holds. */
  held(): { runId: RunId; connected: boolean; progress: Progress }[];
}

/**
 * The other hubs on the same store. One hub holds the lease of each run that has not ended: the hub that its trainer is or was
 * last connected to. It renews the lease. Only that hub writes the run's record, ends its commands and decides when its
 * trainer is lost.
 */
export interface Cluster {
  /** Starts the exchange with the others. */
  start(handlers: ClusterHandlers): void;
  /** The other hub that holds a run, or null. @throws Refusal `internal` if that is unknown now */
  holder(runId: RunId): Promise<string | null>;
  /** Takes the lease of a run from any other hub. */
  claim(runId: RunId): Promise<void>;
  /** Takes the lease of a run unless another hub has it. @returns whether this hub has it */
  claimIfFree(runId: RunId): Promise<boolean>;
  /** Announces a run that this hub holds. */
  tell(told: ToldRun): void;
  /** Announces that this hub deleted a run. */
  tellDeleted(run: DeletedOne): void;
  /** Forwards a command to the hub that holds its run. @throws Refusal if that hub refuses or does not answer */
  forward(hub: string, command: GivenCommand, author: string): Promise<CommandRecord>;
  /** Reports to the hub that holds a run that its trainer process has ended. */
  forwardLost(hub: string, runId: RunId, reason: string): Promise<void>;
  close(): Promise<void>;
}

/** The cluster of a single hub. */
export const singleHub: Cluster = {
  start: () => undefined,
  holder: () => Promise.resolve(null),
  claim: () => Promise.resolve(),
  claimIfFree: () => Promise.resolve(true),
  tell: () => undefined,
  tellDeleted: () => undefined,
  forward: () => Promise.reject(new Error('There are no other hubs.')),
  forwardLost: () => Promise.reject(new Error('There are no other hubs.')),
  close: () => Promise.resolve(),
};
