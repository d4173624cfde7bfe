import type { CommandRecord } from '@plumbline/shared/command';
import type { ControlEventsResponse, HistoryResponse } from '@plumbline/shared/http';
import { isLargeEvent, type LargeEventNotice } from '@plumbline/shared/large-event';
import type { RunId, RunSummary, Segment } from '@plumbline/shared/run';
import type { MetricBatch } from '@plumbline/shared/socket';
import type { ControlEvent, MetricEvent } from '@plumbline/shared/trainer-event';
import { ApiError } from './api';

/** What live messages a feed listens to, over whatever carries them. */
export interface FeedListener {
  connected(): void;
  metrics(batch: MetricBatch): void;
  control(event: ControlEvent | LargeEventNotice): void;
  run(run: RunSummary): void;
  command(record: CommandRecord): void;
  lagged(): void;
  deleted(): void;
}
export interface FeedTransport {
  /** Live messages of a run; `connected` is called at once where the connection stands, and at each reconnection. */
  listen(runId: RunId, listener: FeedListener): () => void;
  watch(runId: RunId): Promise<{ run: RunSummary; lastSeq: number }>;
  unwatch(runId: RunId): void;
  history(
    runId: RunId,
    range: { metrics?: readonly string[]; fromStep?: number; toStep?: number; maxPoints: number },
  ): Promise<HistoryResponse>;
  events(runId: RunId): Promise<ControlEventsResponse>;
  commands(runId: RunId): Promise<CommandRecord[]>;
}
/** Where a feed puts what it got. Everything may come twice; seq tells. */
export interface FeedSink {
  run(run: RunSummary): void;
  history(history: HistoryResponse): void;
  metrics(events: readonly MetricEvent[]): void;
  control(events: readonly ControlEvent[]): void;
  commands(records: readonly CommandRecord[]): void;
  phase(phase: FeedPhase, error: unknown): void;
  /** The run is no more: nothing else comes of it. */
  deleted(): void;
}
/** `loading`: nothing yet. `catching_up`: what is shown may lack its newest part. `failed`: will try again by itself. */
export type FeedPhase = 'loading' | 'catching_up' | 'live' | 'failed';

/** Points of a series that are asked for; where all together would be too large an answer, the next fewer. */
const pointCounts = [4000, 500, 60, 5] as const;
/** Held while history is fetched; beyond this the oldest are let go, which shows as a gap and is fetched again. */
const maxHeldBatches = 2000;
const retryDelaysMs = [250, 1000, 2000, 5000];

/**
 * Follows one run without a hole: joins its room, holds what comes live, fetches history up to event S, replays what
 * was held above S. A jump in the live numbers, a reconnection and a `lagged` word all start the same catching up.
 */
export class RunFeed {
  #generation = 0;
  #held: MetricBatch[] = [];
  #catchingUp = false;
  /** Everything up to this event number is in the sink. */
  #cursor = 0;
  #cursorStep = 0;
  #attempts = 0;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #stopListening: () => void;
  #closed = false;
  #loaded = false;

  constructor(
    readonly runId: RunId,
    private readonly transport: FeedTransport,
    private readonly sink: FeedSink,
    /** The only metrics whose history is fetched; none means all. */
    private readonly metrics?: readonly string[],
  ) {
    sink.phase('loading', undefined);
    this.#stopListening = transport.listen(runId, {
      connected: () => {
        this.#held = []; // what a lost connection left behind
        void this.#catchUp(true);
      },
      metrics: (batch) => this.#take(batch),
      control: (event) => {
        if (!isLargeEvent(event)) sink.control([event]);
        if (event.type === 'segment_started') this.#goBack([event]);
        // All metrics before it were sent before it: it is the next number, or there is a gap.
        this.#take({ runId, fromSeq: event.seq - 1, toSeq: event.seq, events: [] });
      },
      run: (run) => {
        sink.run(run);
        this.#goBack(run.segments);
        // A run that was not there yet, e.g. a branch about to start: no need to wait for the next attempt.
        if (this.#retry) void this.#catchUp(true);
      },
      command: (record) => sink.commands([record]),
      lagged: () => void this.#catchUp(false),
      deleted: () => this.#deleted(),
    });
  }

  #deleted(): void {
    this.close();
    this.sink.deleted();
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#retry);
    this.#generation++;
    this.#stopListening();
    this.transport.unwatch(this.runId);
  }

  /** Fetches a range anew at full resolution, for a zoomed window of a thinned series. */
  async refine(fromStep: number, toStep: number): Promise<void> {
    const history = await this.#history({ fromStep, toStep });
    if (!this.#closed) this.sink.history(history);
  }

  /** As fine as the hub answers it: a run of very many series comes coarser, and not never. */
  async #history(range: { fromStep?: number; toStep?: number }): Promise<HistoryResponse> {
    const asked = { ...range, ...(this.metrics && { metrics: this.metrics }) };
    for (const maxPoints of pointCounts)
      try {
        return await this.transport.history(this.runId, { ...asked, maxPoints });
      } catch (error) {
        if (!(error instanceof ApiError && error.code === 'invalid') || maxPoints === pointCounts.at(-1)) throw error;
      }
    throw new Error('There is no fewer number of points.');
  }

  #take(batch: MetricBatch): void {
    if (this.#catchingUp) {
      this.#held.push(batch);
      if (this.#held.length > maxHeldBatches) this.#held.shift();
    } else if (batch.fromSeq > this.#cursor) {
      this.#held.push(batch);
      void this.#catchUp(false);
    } else {
      this.#apply(batch);
    }
  }

  #apply(batch: MetricBatch): void {
    if (batch.toSeq <= this.#cursor) return;
    const fresh = batch.events.filter((event) => event.seq > this.#cursor);
    this.sink.metrics(fresh);
    this.#cursor = batch.toSeq;
    this.#cursorStep = Math.max(this.#cursorStep, fresh.at(-1)?.step ?? 0);
  }

  /** Steps are told anew from where a segment begins that has not been seen. */
  #goBack(segments: readonly Segment[] = []): void {
    for (const { seq, fromStep } of segments)
      if (seq > this.#cursor) this.#cursorStep = Math.min(this.#cursorStep, fromStep);
  }

  /** @param join true on a new connection, which is in no room yet */
  async #catchUp(join: boolean): Promise<void> {
    clearTimeout(this.#retry);
    this.#retry = undefined;
    const generation = ++this.#generation;
    const isCurrent = (): boolean => generation === this.#generation && !this.#closed;
    this.#catchingUp = true;
    if (this.#loaded) this.sink.phase('catching_up', undefined);
    try {
      if (join) {
        const { run } = await this.transport.watch(this.runId);
        if (!isCurrent()) return;
        this.sink.run(run);
        this.#goBack(run.segments);
      }
      const range = this.#loaded ? { fromStep: this.#cursorStep } : {};
      const [history, control, commands] = await Promise.all([
        this.#history(range),
        this.transport.events(this.runId),
        this.transport.commands(this.runId),
      ]);
      if (!isCurrent()) return;
      this.sink.history(history);
      this.sink.control(control.events);
      this.sink.commands(commands);
      this.#loaded = true;
      this.#cursor = Math.max(this.#cursor, history.lastSeq);
      for (const series of Object.values(history.series))
        this.#cursorStep = Math.max(this.#cursorStep, series.steps.at(-1) ?? 0);
      while (this.#held.length > 0) {
        if (this.#held[0]!.fromSeq > this.#cursor) throw new Gap();
        this.#apply(this.#held.shift()!);
      }
      this.#catchingUp = false;
      this.#attempts = 0;
      this.sink.phase('live', undefined);
    } catch (error) {
      if (!isCurrent()) return;
      if (error instanceof Gap) this.sink.phase('catching_up', undefined);
      else this.sink.phase('failed', error);
      const delayMs = retryDelaysMs[Math.min(this.#attempts++, retryDelaysMs.length - 1)]!;
      this.#retry = setTimeout(() => isCurrent() && void this.#catchUp(join), delayMs);
    }
  }
}

/** What was held begins above what history answered: fetch again. */
class Gap extends Error {}
