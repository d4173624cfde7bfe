import type { CommandId, CommandRecord } from '@plumbline/shared/command';
import type { LargeEvent } from '@plumbline/shared/large-event';
import type { RunId, RunSummary, Segment } from '@plumbline/shared/run';
import type { ControlEvent } from '@plumbline/shared/trainer-event';
import type { StoredEvent } from './protocol-1.js';

/** Columnar series of one metric, ascending by event number; `values` may hold NaN and infinities. */
export interface Series {
  seqs: Float64Array;
  steps: Float64Array;
  values: Float64Array;
  /** Width in steps of the buckets that it was thinned by; 0 when it is whole. */
  bucketSteps: number;
}

/** Columnar summary of the finite values of one metric in each window of steps; empty windows are left out. */
export interface Windows {
  /** First step of the window. */
  fromSteps: Float64Array;
  counts: Float64Array;
  minima: Float64Array;
  maxima: Float64Array;
  means: Float64Array;
  /** The value of the newest event in the window. */
  lasts: Float64Array;
}

/** The newest point of a series. `value` may be NaN or infinite. */
export interface LastPoint {
  seq: number;
  step: number;
  value: number;
}

export interface WindowRange {
  metrics?: readonly string[] | undefined;
  /** The run's segments; superseded values are left out. */
  segments?: readonly Segment[] | undefined;
  fromStep?: number | undefined;
  toStep?: number | undefined;
  /** Limit of windows over all series; a larger answer is refused before it is built. No limit by default. */
  maxValues?: number | undefined;
  /** Limit of windows of one series, which are held together. */
  maxSeriesValues?: number | undefined;
  /** Width of a window in steps, counted from `fromStep`. By default one window holds the whole range. */
  everySteps?: number | undefined;
}

/**
 * Takes one series of an answer. The store reads the next one when this resolves, so a slow reader holds one series and
 * not the whole answer. Throwing ends the read.
 */
export type TakeSeries<Columns> = (metric: string, columns: Columns) => void | Promise<void>;
/** Takes part of a list, each entry as its stored JSON text. The next part is read when this resolves. */
export type TakeTexts = (texts: readonly string[]) => void | Promise<void>;

/** Which control events are read, and how much of them. */
export interface ControlEventOptions {
  /** Only events of these types. */
  types?: readonly ControlEvent['type'][];
  /** Long events may come without the parameters and recipes of their model: empty lists stand for them. */
  isOutline?: boolean;
  signal?: AbortSignal;
}

export interface HistoryRange {
  /** As in `WindowRange`. */
  segments?: readonly Segment[] | undefined;
  /** Names of metrics; all of the run's by default. */
  metrics?: readonly string[] | undefined;
  fromStep?: number | undefined;
  toStep?: number | undefined;
  /**
   * Upper bound of points per series, at least 5. A longer series is cut into buckets of `bucketSteps` steps. Each bucket
   * keeps its smallest and largest value (of equal ones the first) and its first non-finite one; the series keeps its
   * first and last point. So no spike, no NaN and neither end is ever lost. First and last go by event number. Steps do not
   * go back within a segment; where they do, a store that is ordered by step may go by steps.
   */
  maxPoints: number;
  /** Limit of points over all series; a larger answer is refused before it is built. No limit by default. */
  maxValues?: number | undefined;
}

/** The segments that supersede something that no later segment does: each begins below all later ones. */
export const decisive = (segments: readonly Segment[] = []): Segment[] =>
  segments.filter(({ fromStep }, index) => segments.slice(index + 1).every((later) => later.fromStep > fromStep));

/** Selects the newest large events of a range. */
export interface LargeEventRange {
  type: LargeEvent['type'];
  /** As in `WindowRange`. */
  segments?: readonly Segment[] | undefined;
  fromStep?: number | undefined;
  toStep?: number | undefined;
  /** Only events whose number is below this. */
  beforeSeq?: number | undefined;
  /** Most events. */
  newest: number;
  /** Most bytes of all events together; the newest event always comes, whatever its size. */
  maxBytes: number;
}

/** Picks the newest large events of a range. @param found newest first @returns in order of their number */
export function newestOf<Place extends { bytes: number }>(
  found: readonly Place[],
  { newest, maxBytes }: LargeEventRange,
): Place[] {
  const wanted: Place[] = [];
  let bytes = 0;
  for (const place of found.slice(0, newest)) {
    bytes += place.bytes;
    if (wanted.length > 0 && bytes > maxBytes) break;
    wanted.unshift(place);
  }
  return wanted;
}

/** A `maxPoints` that thins nothing. */
export const everyPoint = Number.MAX_SAFE_INTEGER;

/**
 * Width in steps of the buckets of thinned series, the same for all series of a run, counted from `fromStep`: at most
 * three points per bucket, and the two ends.
 */
export function bucketSteps({ fromStep = 0, toStep = Infinity, maxPoints }: HistoryRange, lastStep: number): number {
  const steps = Math.min(toStep, lastStep) - fromStep + 1;
  return Math.max(1, Math.ceil(steps / Math.max(1, Math.floor((maxPoints - 2) / 3))));
}

/** The record of a run beside its events. `lastSeq` and `lastStep` follow from the events and are not stored. */
export interface StoredRun extends Omit<
  RunSummary,
  'trainerConnected' | 'lastSeq' | 'lastStep' | 'revision' | 'commands' | 'busy' | 'refused'
> {
  /**
   * SHA-256 of the secret of the run's trainer, in hexadecimal digits. Absent where any holder of the trainer token may
   * take the run over. Private to the hub: no answer, export or copy contains it.
   */
  trainerSecretDigest?: string;
  /** The configuration that protocol 1 stored in place of a description; see `recordAsWritten`. */
  config?: unknown;
}
/** A run as a store returns it. */
export type StoredSummary = StoredRun & Position;

/**
 * Stores runs, events and commands. One contract test covers every implementation.
 * When a method returns, its change is durable; when it throws, nothing has changed.
 * A read with a signal answers a client: it ends with ReadAbandonedError after the signal, and a store may let it wait for
 * other clients' reads, so that commits go on. Every read for a client needs a signal. The hub's own reads have none.
 */
export interface EventStore {
  /** @throws StoreConflictError when the run id is taken; StoreBusyError while a deleted run of this id is still being removed */
  createRun(run: StoredRun): Promise<void>;
  /**
   * Replaces the record.
   * @param hasLastWord the record holds its trainer's last word: it outranks every record without one, whichever hub wrote
   *   that and when
   */
  updateRun(run: StoredRun, hasLastWord?: boolean): Promise<void>;
  run(runId: RunId): Promise<StoredSummary | null>;
  /** Newest first. */
  runs(): Promise<StoredSummary[]>;

  /**
   * Deletes a run for good: its record, events, series and commands, including undelivered ones. Once it returns, none of
   * them is answered any more, also after a crash at any earlier moment. Other runs are not touched. A run that does not
   * exist, or was deleted already, is no error. The id is free again at once or, where the store is on a server of its own,
   * when that has deleted the run.
   */
  deleteRun(runId: RunId): Promise<void>;
  /** Runs that were deleted and not created again. */
  deletedRuns(): Promise<RunId[]>;

  /**
   * Appends events of one run, all or nothing, idempotent by (run, seq): stored events are skipped.
   * @returns the highest stored number after the call
   * @throws SequenceGapError when the first new event does not follow the last stored one
   */
  append<E extends StoredEvent>(runId: RunId, events: readonly E[]): Promise<{ lastSeq: number; appended: E[] }>;
  lastSeq(runId: RunId): Promise<number>;
  /**
   * Complete events in order of their number, from `fromSeq` on, at most `limit`; none past the last or of an unknown run.
   * Large events make the page shorter, down to one event, so that memory is bounded.
   * Events are as they came: metric events have their metrics, sorted by name; non-finite values are words, as on the wire.
   * @throws ReadAbandonedError after `signal`
   */
  events(runId: RunId, fromSeq: number, limit: number, signal?: AbortSignal): Promise<StoredEvent[]>;

  /**
   * Series by metric name, including `wallTimeSeries`, with the event number up to which they are complete. Holds all of
   * them in memory: ask for few, or use `eachSeries`.
   * @throws AnswerTooLargeError, ReadAbandonedError after `signal`
   */
  history(
    runId: RunId,
    range: HistoryRange,
    signal?: AbortSignal,
  ): Promise<{ lastSeq: number; series: Map<string, Series> }>;
  /**
   * As `history`, series by series.
   * @param signal ends the read
   * @returns the event number up to which the series are complete
   * @throws AnswerTooLargeError before the first series, ReadAbandonedError after `signal`
   */
  eachSeries(
    runId: RunId,
    range: HistoryRange,
    take: TakeSeries<Series>,
    signal?: AbortSignal,
  ): Promise<{ lastSeq: number }>;
  /**
   * The last point of each series, including `wallTimeSeries`. Reads only the ends of series where possible.
   * @param range names of metrics, all of the run's by default; superseded points do not count
   * @returns also the event number up to which the points are the last ones
   * @throws ReadAbandonedError after `signal`
   */
  lastPoints(
    runId: RunId,
    range?: Pick<HistoryRange, 'metrics' | 'segments'>,
    signal?: AbortSignal,
  ): Promise<{ lastSeq: number; points: Map<string, LastPoint> }>;
  /**
   * Summaries of series in windows of steps, computed inside the store.
   * @throws AnswerTooLargeError, ReadAbandonedError after `signal`
   */
  windows(runId: RunId, range: WindowRange, signal?: AbortSignal): Promise<Map<string, Windows>>;
  /** As `windows`, series by series. @throws as `eachSeries` does */
  eachWindows(runId: RunId, range: WindowRange, take: TakeSeries<Windows>, signal?: AbortSignal): Promise<void>;
  /**
   * Control events in order, as JSON texts in today's protocol, whichever version wrote them; few are held at a time.
   * @returns the event number up to which the events are complete
   * @throws ReadAbandonedError after `signal`
   */
  eachControlEvents(runId: RunId, take: TakeTexts, options?: ControlEventOptions): Promise<{ lastSeq: number }>;

  /**
   * The newest large events of one type in a range, in order of their number, as JSON texts; few are held at a time.
   * @returns the event number up to which they are complete, and how many events of the range are left out
   * @throws ReadAbandonedError after `signal`
   */
  eachLargeEvent(
    runId: RunId,
    range: LargeEventRange,
    take: TakeTexts,
    signal?: AbortSignal,
  ): Promise<{ lastSeq: number; earlier: number }>;

  /**
   * Writes a command's record, replacing an earlier one. Records go one way: pending, then possibly given up by a hub
   * (without a step), then ended by the trainer's word.
   */
  putCommand(record: CommandRecord): Promise<void>;
  command(commandId: CommandId): Promise<CommandRecord | null>;
  /** Oldest first. @throws ReadAbandonedError after `signal` */
  commands(runId: RunId, signal?: AbortSignal): Promise<CommandRecord[]>;
  /** As `commands`, in parts, as JSON texts. @throws ReadAbandonedError after `signal` */
  eachCommands(runId: RunId, take: TakeTexts, signal?: AbortSignal): Promise<void>;
  /** Runs with a pending command; may include runs whose commands have all ended. */
  runsWithOpenCommands(): Promise<RunId[]>;

  /**
   * Writes a consistent copy of the store to a new file, which a store of the same kind opens. Writes continue meanwhile.
   * Absent where the data is on a server of its own: that server's tools make the backups.
   */
  copyTo?(path: string): Promise<void>;

  /** The condition of the store's files, where they are on this machine. @throws StoreUnavailableError */
  condition?(): Promise<StoreCondition>;

  /** Waits for work under way and closes; the store cannot be used afterwards. */
  close(): Promise<void>;
}

/** The condition of a store's files. */
export interface StoreCondition {
  /** Acknowledged data that is lost, a sentence per run, until an operator accepts the loss. */
  losses: string[];
  /** Why the store can only be read, or null. */
  fault: StoreUnavailableError | null;
}

/**
 * A store on a server of its own, which several hubs share. Each hub writes to its own disk first and delivers from
 * there.
 */
export interface SharedStore extends EventStore {
  /**
   * Makes this hub the writer of the run. The run may have grown at another hub, and that hub may still have to deliver
   * events that were acknowledged to the trainer; new events follow after all of these.
   * @param acknowledgedSeq the last event acknowledged to the trainer
   * @returns the number of the last event, and the largest step that is known up to there
   * @throws StoreBusyError while the record of the run has not arrived from the hub that made it
   */
  takeUp(runId: RunId, acknowledgedSeq: number): Promise<Position>;
  /** Tells that another hub writes this run from now on: cached positions may be outdated. */
  letGo(runId: RunId): void;
  /** Forgets a run that another hub has deleted. */
  forget(runId: RunId): void;
  /**
   * Deletes this hub's delivered and undelivered data of a run that another hub deleted. A later run with its id is not
   * touched.
   * @param createdMs creation time of the deleted run; null where only the store may know
   */
  deleteRest(runId: RunId, createdMs: number | null): Promise<void>;
  /**
   * Open commands that this hub had written and not delivered when it died: a hub that took over their runs since cannot
   * know of them.
   */
  leftOver(): Promise<CommandRecord[]>;
  /**
   * Runs with writes that this hub has not delivered, or had not when it was opened: other hubs cannot know of these, or
   * could not until a moment ago.
   */
  undelivered(): Promise<RunId[]>;
  /**
   * Waits until other hubs can find this hub's record of a command.
   * @returns false when `limitMs` passed first
   */
  arrived(commandId: CommandId, limitMs: number): Promise<boolean>;
  /** State of the spool: the writes that wait on this machine's disk. */
  spoolState(): Promise<SpoolState>;
}

export const isShared = (store: EventStore): store is SharedStore => 'takeUp' in store;

/** State of a spool: the writes that wait on disk for the store's server. */
export interface SpoolState {
  /** Number of waiting records. */
  depth: number;
  /** Bytes on disk. */
  bytes: number;
  /** Age of the oldest record. */
  ageMs: number;
  /** Number of failed attempts that were repeated. */
  retries: number;
  /** Why deliveries fail at present, or null. */
  problem: string | null;
}

/** Events between `lastSeq` and the first of the batch are missing: the sender must go back. */
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

/** How far a run goes: the number and the step of its last event. */
export interface Position {
  lastSeq: number;
  lastStep: number;
}
export const noPosition: Position = { lastSeq: 0, lastStep: 0 };

/**
 * The events that follow after `position`, and the run's position with them.
 * @throws SequenceGapError when the first of them does not follow, or there is a gap between them
 */
export function newEvents<E extends { type: string; seq: number; step: number }>(
  runId: RunId,
  position: Position,
  events: readonly E[],
): Position & { appended: E[] } {
  const appended = events.filter((event) => event.seq > position.lastSeq);
  let { lastSeq, lastStep } = position;
  for (const event of appended) {
    if (event.seq !== lastSeq + 1) throw new SequenceGapError(runId, lastSeq, event.seq);
    lastSeq = event.seq;
    lastStep = event.step;
  }
  return { appended, lastSeq, lastStep };
}

/** A run id that is taken already. */
export class StoreConflictError extends Error {
  override name = 'StoreConflictError';
}

/** Nothing is wrong, but this cannot be done yet: try again. */
export class StoreBusyError extends Error {
  override name = 'StoreBusyError';
}

/** The answer would exceed a limit such as `maxValues`. */
export class AnswerTooLargeError extends Error {
  /** @param of the part that the limit applies to, if not the whole answer */
  constructor(maxValues: number, of = '') {
    super(
      `This answer would have more than ${maxValues} values${of && ` ${of}`}. Ask for fewer metrics, a shorter range of steps, ` +
        'fewer points (maxPoints) or wider windows (everySteps).',
    );
    this.name = 'AnswerTooLargeError';
  }
}

/** The read was ended because its reader is gone. */
export class ReadAbandonedError extends Error {
  override name = 'ReadAbandonedError';
}

/** One read needs more memory than the store may use. The store itself is fine. */
export class ReadTooLargeError extends Error {
  /** @param wasTaken whether part of the answer was already handed over */
  constructor(
    cause: unknown,
    readonly wasTaken = false,
  ) {
    super(
      'The hub has not enough memory for this read now. Ask for fewer metrics or a shorter range of steps, try again later, ' +
        'or give the hub more memory (PLUMBLINE_MEMORY_MB).',
      { cause },
    );
    this.name = 'ReadTooLargeError';
  }
}

/** Checkpoints have interrupted a long read twice, or a copy once. Nothing is wrong with the store. */
export class ReadInterruptedError extends Error {
  constructor() {
    super('The store had to write its log back and ended this long read. Ask for less, or try again later.');
    this.name = 'ReadInterruptedError';
  }
}

/** The store could not be written or read: full disk, read-only folder, damaged file. Nothing was acknowledged. */
export class StoreUnavailableError extends Error {
  override name = 'StoreUnavailableError';
}

/** Another process has the store open. */
export class StoreInUseError extends StoreUnavailableError {
  override name = 'StoreInUseError';
}
