import type { CommandRecord, GivenCommand } from '@plumbline/shared/command';
import type { RunId, RunSummary } from '@plumbline/shared/run';

/** How far a run has come at the hub that holds it. */
export interface Progress {
  runId: RunId;
  lastSeq: number;
  lastStep: number;
}

/** Which run was deleted: a later one may have its id. */
export type DeletedOne = Pick<RunSummary, 'runId' | 'createdMs'>;

/** A run as hubs tell each other of it: with what no browser is told. */
export interface ToldRun {
  run: RunSummary;
  /** See StoredRun. */
  trainerSecretDigest?: string | undefined;
  /** A person ended it without its trainer. */
  isEndedByForce?: boolean | undefined;
}

/** What a hub does for the others with the runs that it holds. */
export interface ClusterHandlers {
  /** A run of another hub appeared or changed. */
  onRun(told: ToldRun): void;
  onProgress(progress: readonly Progress[]): void;
  /** Another hub holds this run from now on: its trainer went there. */
  onTaken(runId: RunId): void;
  /** Another hub has deleted a run. */
  onDeleted(run: DeletedOne): void;
  /** A hub is gone and so nobody holds these. */
  onOrphaned(runIds: readonly RunId[]): void;
  /** A command that was given to another hub, for a run that this one holds. */
  command(command: GivenCommand, author: string): Promise<CommandRecord>;
  /** The process that trained a run of this hub's was seen to end elsewhere. */
  trainerLost(runId: RunId, reason: string): Promise<void>;
  /** Runs whose trainer is connected here, which this hub claims against all others; and all it holds. */
  held(): { runId: RunId; connected: boolean; progress: Progress }[];
}

/**
 * The other hubs on the same store. Each run that has not ended is held by one hub, the one that its trainer is or was
 * last connected to, under a lease that the hub renews: only that one writes its record, ends its commands and says when
 * its trainer is lost.
 */
export interface Cluster {
  /** Begins to speak with the others. */
  start(handlers: ClusterHandlers): void;
  /** The other hub that holds a run, or null. @throws Refusal `internal` when that cannot be found out now */
  holder(runId: RunId): Promise<string | null>;
  /** This hub holds the run from now on, whoever did before. */
  claim(runId: RunId): Promise<void>;
  /** This hub holds the run from now on unless another does. */
  claimIfFree(runId: RunId): Promise<boolean>;
  /** Tells the others of a run that is held here. */
  tell(told: ToldRun): void;
  /** Tells the others that a run was deleted here. */
  tellDeleted(run: DeletedOne): void;
  /** Gives a command to the hub that holds its run. @throws Refusal when it refuses or does not answer */
  forward(hub: string, command: GivenCommand, author: string): Promise<CommandRecord>;
  /** Tells the hub that holds a run that its trainer's process has ended. */
  forwardLost(hub: string, runId: RunId, reason: string): Promise<void>;
  close(): Promise<void>;
}

/** A hub without others. */
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
