import type { CommandId, CommandRecord } from '@plumbline/shared/command';
import type { RunId, RunSummary } from '@plumbline/shared/run';
import type { ControlEvent, TrainerEvent } from '@plumbline/shared/trainer-event';

/** Columnar series of one metric, ascending by event number; `values` may hold NaN and infinities. */
export interface Series {
  seqs: Float64Array;
  steps: Float64Array;
  wallTimesMs: Float64Array;
  values: Float64Array;
}

export interface HistoryRange {
  /** Names of metrics; `undefined` means all of the run. */
  metrics?: readonly string[] | undefined;
  fromStep?: number | undefined;
  toStep?: number | undefined;
  /**
   * Upper bound of points a series. A longer series is cut into buckets of equal step width, and each keeps its first,
   * last, smallest and largest value and its first non-finite one, so no spike and no NaN is ever lost. At least 5.
   */
  maxPoints: number;
}

/** What is kept of a run beside its events. `lastSeq` and `lastStep` follow from the events and are not written. */
export type StoredRun = Omit<RunSummary, 'trainerConnected' | 'lastSeq' | 'lastStep'>;

/**
 * Where runs, events and commands live. One contract test holds for every implementation.
 * A method that returns has made its change durable; one that throws has made none.
 */
export interface EventStore {
  /** @throws StoreConflictError when the run id is taken */
  createRun(run: StoredRun): Promise<void>;
  updateRun(run: StoredRun): Promise<void>;
  run(runId: RunId): Promise<Omit<RunSummary, 'trainerConnected'> | null>;
  /** Newest first. */
  runs(): Promise<Omit<RunSummary, 'trainerConnected'>[]>;

  /**
   * Appends events of one run, all or nothing, idempotent by (run, seq): those already stored are skipped.
   * @returns the highest stored number after the call
   * @throws SequenceGapError when the first new event does not follow the last stored one
   */
  append(runId: RunId, events: readonly TrainerEvent[]): Promise<{ lastSeq: number; appended: TrainerEvent[] }>;
  lastSeq(runId: RunId): Promise<number>;

  /** Series by metric name, with the event number up to which they are complete. */
  history(runId: RunId, range: HistoryRange): Promise<{ lastSeq: number; series: Map<string, Series> }>;
  controlEvents(runId: RunId): Promise<{ lastSeq: number; events: ControlEvent[] }>;

  /** Writes the record, replacing an earlier one of the same command. */
  putCommand(record: CommandRecord): Promise<void>;
  command(commandId: CommandId): Promise<CommandRecord | null>;
  /** Oldest first. */
  commands(runId: RunId): Promise<CommandRecord[]>;

  /** Waits for what is under way and closes; the store cannot be used afterwards. */
  close(): Promise<void>;
}

/** The sender must go back: events between `lastSeq` and the batch's first are missing. */
export class SequenceGapError extends Error {
  constructor(
    readonly runId: RunId,
    readonly lastSeq: number,
    readonly gotSeq: number,
  ) {
    super(`Run ${runId} has events up to ${lastSeq}; got ${gotSeq}. Send again from ${lastSeq + 1}.`);
    this.name = 'SequenceGapError';
  }
}

/** A run id that is taken already. */
export class StoreConflictError extends Error {
  override name = 'StoreConflictError';
}

/** The store could not be written or read: full disk, read-only folder, damaged file. Nothing was acknowledged. */
export class StoreUnavailableError extends Error {
  override name = 'StoreUnavailableError';
}

/** Another process has the store open. */
export class StoreInUseError extends StoreUnavailableError {
  override name = 'StoreInUseError';
}
