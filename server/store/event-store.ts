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

/** Columnar: what the finite values of one metric come to in each window of steps; windows without a value are left out. */
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
  /** Where the run went on after it had ended: what is superseded since is left out. */
  segments?: readonly Segment[] | undefined;
  fromStep?: number | undefined;
  toStep?: number | undefined;
  /** Refuses an answer of more windows than this, over all series, without putting it together; no limit without it. */
  maxValues?: number | undefined;
  /** Refuses an answer with more windows than this in one series: they are held together. */
  maxSeriesValues?: number | undefined;
  /** Width of a window in steps, counted from `fromStep`; without it, one window holds the whole range. */
  everySteps?: number | undefined;
}

/**
 * Takes one series of an answer. The store reads the next one when this resolves, so a slow taker holds one series and
 * not the whole answer. Ends the read by throwing.
 */
export type TakeSeries<Columns> = (metric: string, columns: Columns) => void | Promise<void>;
/** Takes part of a list, each entry as the JSON text it is stored as; the next part is read when this resolves. */
export type TakeTexts = (texts: readonly string[]) => void | Promise<void>;

export interface HistoryRange {
  /** As in `WindowRange`. */
  segments?: readonly Segment[] | undefined;
  /** Names of metrics; `undefined` means all of the run. */
  metrics?: readonly string[] | undefined;
  fromStep?: number | undefined;
  toStep?: number | undefined;
  /**
   * Upper bound of points a series. A longer series is cut into buckets of `bucketSteps` steps, and each keeps its
   * smallest and largest value (of equal ones the first) and its first non-finite one; the series keeps its first and its
   * last point. So no spike, no NaN and neither end is ever lost. First and last go by event number; a trainer's steps do
   * not go down, and where they do a store that lies in order of steps may go by those. At least 5.
   */
  maxPoints: number;
  /** Refuses an answer of more points than this, over all series, without putting it together; no limit without it. */
  maxValues?: number | undefined;
}

/** Those of a run's segments that leave out what no later one does: each begins below all later ones. */
export const decisive = (segments: readonly Segment[] = []): Segment[] =>
  segments.filter(({ fromStep }, index) => segments.slice(index + 1).every((later) => later.fromStep > fromStep));

/** Which large events of a run are wanted: the newest of a range. */
export interface LargeEventRange {
  type: LargeEvent['type'];
  /** As in `WindowRange`. */
  segments?: readonly Segment[] | undefined;
  fromStep?: number | undefined;
  toStep?: number | undefined;
  /** Only events whose number is below this. */
  beforeSeq?: number | undefined;
  /** At most so many. */
  newest: number;
  /** Of so many bytes together, at most; the newest one comes whatever its size. */
  maxBytes: number;
}

/** Those that are wanted of the large events of a range. @param found newest first @returns in order of their number */
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
 * Width in steps of the buckets that a thinned series is cut into, the same for all series of a run, counted from
 * `fromStep`: three points a bucket at most, and the two ends.
 */
export function bucketSteps({ fromStep = 0, toStep = Infinity, maxPoints }: HistoryRange, lastStep: number): number {
  const steps = Math.min(toStep, lastStep) - fromStep + 1;
  return Math.max(1, Math.ceil(steps / Math.max(1, Math.floor((maxPoints - 2) / 3))));
}

/** What is kept of a run beside its events. `lastSeq` and `lastStep` follow from the events and are not written. */
export interface StoredRun extends Omit<
  RunSummary,
  'trainerConnected' | 'lastSeq' | 'lastStep' | 'revision' | 'commands' | 'busy' | 'refused'
> {
  /**
   * SHA-256 of the secret of the trainer that the run belongs to, in hexadecimal digits. Absent where the run is open to
   * whoever holds the trainer token. It is the hub's own: no answer, export or copy has it.
   */
  trainerSecretDigest?: string;
  /** What protocol 1 wrote in place of a description; see `recordAsWritten`. */
  config?: unknown;
}
/** A run as a store answers it. */
export type StoredSummary = StoredRun & Position;

/**
 * Where runs, events and commands live. One contract test holds for every implementation.
 * A method that returns has made its change durable; one that throws has made none.
 */
export interface EventStore {
  /** @throws StoreConflictError when the run id is taken; StoreBusyError when what was deleted under it is not yet gone */
  createRun(run: StoredRun): Promise<void>;
  /**
   * Writes the record anew.
   * @param hasLastWord it holds its trainer's last word: no record without one counts beside it, whichever hub wrote
   *   that and when
   */
  updateRun(run: StoredRun, hasLastWord?: boolean): Promise<void>;
  run(runId: RunId): Promise<StoredSummary | null>;
  /** Newest first. */
  runs(): Promise<StoredSummary[]>;

  /**
   * Deletes all that is stored of a run, for good: its record, events, series and commands, whatever of them is still on
   * its way. From the moment that it returns none of that is answered, nor after a crash at any moment before; of other
   * runs nothing is touched. A run that is not there, or was deleted already, is no error. The id is free again, at
   * once or, where the store is on a server of its own, when that has deleted it.
   */
  deleteRun(runId: RunId): Promise<void>;
  /** Runs that were deleted and have not been created anew. */
  deletedRuns(): Promise<RunId[]>;

  /**
   * Appends events of one run, all or nothing, idempotent by (run, seq): those already stored are skipped.
   * @returns the highest stored number after the call
   * @throws SequenceGapError when the first new event does not follow the last stored one
   */
  append<E extends StoredEvent>(runId: RunId, events: readonly E[]): Promise<{ lastSeq: number; appended: E[] }>;
  lastSeq(runId: RunId): Promise<number>;
  /**
   * Whole events in order of their number, from `fromSeq` on, at most `limit`; none past the last or of an unknown run.
   * Fewer where they are large, but at least one: what is held at one time has a bound.
   * They are as they came: metric events have their metrics, sorted by name; what is not finite is a word, as on the wire.
   */
  events(runId: RunId, fromSeq: number, limit: number): Promise<StoredEvent[]>;

  /**
   * Series by metric name, `wallTimeSeries` among them, with the event number up to which they are complete. Holds all of
   * them: ask for few, or use `eachSeries`.
   * @throws AnswerTooLargeError
   */
  history(runId: RunId, range: HistoryRange): Promise<{ lastSeq: number; series: Map<string, Series> }>;
  /**
   * The same, series by series.
   * @param signal ends the read
   * @returns the event number up to which the series are complete
   * @throws AnswerTooLargeError before anything is taken, ReadAbandonedError after `signal`
   */
  eachSeries(
    runId: RunId,
    range: HistoryRange,
    take: TakeSeries<Series>,
    signal?: AbortSignal,
  ): Promise<{ lastSeq: number }>;
  /**
   * The last point of each series, `wallTimeSeries` among them. Reads no more of the series than it takes to find that.
   * @param range names of metrics, all of the run without them; points that `segments` supersede do not count
   * @returns also the event number up to which the points are the last ones
   * @throws ReadAbandonedError after `signal`
   */
  lastPoints(
    runId: RunId,
    range?: Pick<HistoryRange, 'metrics' | 'segments'>,
    signal?: AbortSignal,
  ): Promise<{ lastSeq: number; points: Map<string, LastPoint> }>;
  /** What the series come to in windows of steps, computed where they are stored. @throws AnswerTooLargeError */
  windows(runId: RunId, range: WindowRange): Promise<Map<string, Windows>>;
  /** The same, series by series. @throws as `eachSeries` does */
  eachWindows(runId: RunId, range: WindowRange, take: TakeSeries<Windows>, signal?: AbortSignal): Promise<void>;
  /**
   * Control events as trainers say them today, whichever version said them. Holds all of them.
   * @param types only events of these types
   */
  controlEvents(
    runId: RunId,
    types?: readonly ControlEvent['type'][],
  ): Promise<{ lastSeq: number; events: ControlEvent[] }>;
  /**
   * The same, in parts, as JSON texts.
   * @param types only events of these types
   * @returns the event number up to which the events are complete
   * @throws ReadAbandonedError after `signal`
   */
  eachControlEvents(
    runId: RunId,
    take: TakeTexts,
    options?: { types?: readonly ControlEvent['type'][]; signal?: AbortSignal },
  ): Promise<{ lastSeq: number }>;

  /**
   * Large events of one type, the newest of a range, in order of their number, as JSON texts: few are held at a time.
   * @returns the event number up to which they are complete, and how many of the range are left out
   * @throws ReadAbandonedError after `signal`
   */
  eachLargeEvent(
    runId: RunId,
    range: LargeEventRange,
    take: TakeTexts,
    signal?: AbortSignal,
  ): Promise<{ lastSeq: number; earlier: number }>;

  /**
   * Writes the record, replacing an earlier one of the same command. Records go one way: pending, then given up by a hub
   * (without a step) or not, then ended by its trainer's word.
   */
  putCommand(record: CommandRecord): Promise<void>;
  command(commandId: CommandId): Promise<CommandRecord | null>;
  /** Oldest first. */
  commands(runId: RunId): Promise<CommandRecord[]>;
  /** The same, in parts, as JSON texts. @throws ReadAbandonedError after `signal` */
  eachCommands(runId: RunId, take: TakeTexts, signal?: AbortSignal): Promise<void>;
  /** Runs with a command that is pending; there may be some among them whose commands have all ended. */
  runsWithOpenCommands(): Promise<RunId[]>;

  /**
   * Writes a copy of all that is stored at one moment to a new file, which a store of the same kind opens. Writing goes
   * on meanwhile. A store whose data lie on a server of their own has none: that server's own tools make its backups.
   */
  copyTo?(path: string): Promise<void>;

  /** What a person has to know of a store whose files are on this machine. @throws StoreUnavailableError */
  condition?(): Promise<StoreCondition>;

  /** Waits for what is under way and closes; the store cannot be used afterwards. */
  close(): Promise<void>;
}

/** How the files of a store are. */
export interface StoreCondition {
  /** What is gone of what was acknowledged, until somebody has taken note of it: a sentence for each run. */
  losses: string[];
  /** Why nothing more can be stored, although the store can be read; or null. */
  fault: StoreUnavailableError | null;
}

/**
 * A store on a server of its own, which several hubs share. Each hub writes what it is given to its own disk first, and
 * delivers it from there.
 */
export interface SharedStore extends EventStore {
  /**
   * This hub writes the run from now on. How far the run goes may have changed since this hub last knew, and what the
   * trainer was told is durable may lie with another hub that has yet to deliver it; the run goes on behind it all.
   * @param acknowledgedSeq up to where the trainer was told that its events are durable
   * @returns up to where the run goes
   */
  takeUp(runId: RunId, acknowledgedSeq: number): Promise<number>;
  /** Another hub writes this run from now on: what is known of how far it goes may be old. */
  letGo(runId: RunId): void;
  /** Another hub has deleted this run: what is known of it here is void. */
  forget(runId: RunId): void;
  /**
   * Deletes what this hub has delivered, or has yet to deliver, of a run that another hub has deleted. A later run under
   * its id is left alone.
   * @param createdMs when the deleted run was created; null where only the store may know
   */
  deleteRest(runId: RunId, createdMs: number | null): Promise<void>;
  /**
   * Open commands that this hub had written and not delivered when it died: another hub that has taken up their runs
   * since cannot know of them.
   */
  leftOver(): Promise<CommandRecord[]>;
  /**
   * Runs of which this hub has written something that it has not delivered, or had not when it was opened: another hub
   * cannot know of it, or could not until a moment ago.
   */
  undelivered(): Promise<RunId[]>;
  /**
   * Waits until another hub would find the record of a command that this one has written.
   * @returns false when it would not within `limitMs`
   */
  arrived(commandId: CommandId, limitMs: number): Promise<boolean>;
  /** What waits on this machine's disk for the store. */
  spoolState(): Promise<SpoolState>;
}

export const isShared = (store: EventStore): store is SharedStore => 'takeUp' in store;

/** What waits on disk for the server that the store is on, and how that goes. */
export interface SpoolState {
  /** Records that wait. */
  depth: number;
  /** Bytes on disk. */
  bytes: number;
  /** How long the oldest record has waited. */
  ageMs: number;
  /** Attempts that came to nothing and were made again. */
  retries: number;
  /** Why nothing goes through at present, or null. */
  problem: string | null;
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

/** How far a run goes: its last event, and the step of that. */
export interface Position {
  lastSeq: number;
  lastStep: number;
}
export const noPosition: Position = { lastSeq: 0, lastStep: 0 };

/**
 * The events that a run which goes up to `position` does not have yet, and how far it goes with them.
 * @throws SequenceGapError when the first of them does not follow, or there is a gap within them
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

/** This cannot be done yet, with nothing wrong: it is to be tried again. */
export class StoreBusyError extends Error {
  override name = 'StoreBusyError';
}

/** More was asked for than `maxValues` allows. */
export class AnswerTooLargeError extends Error {
  /** @param of what the limit is for, where that is not the whole answer */
  constructor(maxValues: number, of = '') {
    super(
      `This would be more than ${maxValues} values${of && ` ${of}`}. Ask for fewer metrics, a shorter range of steps, ` +
        'fewer points (maxPoints) or wider windows (everySteps).',
    );
    this.name = 'AnswerTooLargeError';
  }
}

/** Whoever asked is gone, so the read was ended: nobody waits for its answer. */
export class ReadAbandonedError extends Error {
  override name = 'ReadAbandonedError';
}

/** One read needs more memory than the store may take. Nothing is wrong with the store. */
export class ReadTooLargeError extends Error {
  /** @param wasTaken part of the answer was handed over */
  constructor(
    cause: unknown,
    readonly wasTaken = false,
  ) {
    super(
      'The hub has no memory for this read now. Ask for fewer metrics or a shorter range of steps, try again later, ' +
        'or give the hub more memory (PLUMBLINE_MEMORY_MB).',
      { cause },
    );
    this.name = 'ReadTooLargeError';
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
