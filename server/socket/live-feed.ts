import { EventEmitter } from 'node:events';
import { isLargeEvent, noticeOf } from '@plumbline/shared/large-event-notice';
import type { RunId } from '@plumbline/shared/run';
import type { MetricBatch } from '@plumbline/shared/socket';
import { isMetricEvent, type MetricEvent, type TrainerEvent } from '@plumbline/shared/trainer-event';
import type { Caller } from '../access/caller.js';
import { liveCharacters } from '../access/limits.js';
import { Mailbox } from '../run/mailbox.js';
import { Refusal } from '../run/refusal.js';
import { SeriesFilter } from '../run/series-filter.js';
import { Turn } from '../turn.js';
import { LiveBudget } from './live-budget.js';
import type { DashboardNamespace, DashboardSocket } from './socket-server.js';
import { boundUnsent, unsent } from './unsent.js';
import { namesIn, WatchShares, type Selection } from './watch-shares.js';
import { WatchedSeries } from './watched-series.js';

/** The interval of metric events; the first after a pause goes out at once. Control events do not wait. */
const flushMs = 50;
/** A client with a longer send backlog is skipped until it has caught up. In characters, about bytes. */
const maxUnsent = 1_000_000;
/** The interval of the budgets. */
const renewMs = 1000;
/** The most runs that one connection watches. */
const maxWatchedRuns = 50;

const roomPrefix = 'run:';
/** The room of all clients that watch a run: for control events, commands and rules. */
export const roomOf = (runId: RunId): string => roomPrefix + runId;
/** The room of the clients that watch the same series of a run. */
const seriesRoomOf = (runId: RunId, key: string): string => `series:${runId} ${key}`;

const selectionOf = (runId: RunId, filter: SeriesFilter): Selection => ({
  key: seriesRoomOf(runId, filter.key),
  names: namesIn(filter),
});

/** A run that browsers of this hub watch. */
interface WatchedRun {
  readonly series: WatchedSeries;
  /** Sends messages one after another: a long one yields the event loop. */
  readonly messages: Mailbox;
  /** The last event that was sent. */
  sentSeq: number;
}

/** The events of a run on their way to all hubs. */
interface Feed {
  /** The last event that was passed on. */
  sentSeq: number;
  waiting: MetricEvent[];
  flushedMs: number;
  timer: NodeJS.Timeout | null;
}

interface LiveFeedEvents {
  /** Counts sent events, summed over the clients of a room. */
  sent: [events: number];
  /** A client is too slow, and skipped until it has caught up. */
  lagging: [{ clientId: string; runId: RunId; unsentCharacters: number }];
  /** Selections cost more than their share of the live budget, and were left out for up to a second. */
  left_out: [{ selections: number }];
  /** Connections were cut, as they had the most of too much unsent data. */
  cut: [{ clients: number }];
}

/**
 * Sends the events of runs to the browsers that watch them, in order of their numbers. A client that is too slow leaves the
 * room, which bounds its send buffer. Once it has drained, it rejoins and hears from where to fetch history.
 */
export class LiveFeed extends EventEmitter<LiveFeedEvents> {
  readonly #feeds = new Map<RunId, Feed>();
  readonly #watched = new Map<RunId, WatchedRun>();
  readonly #budgets = {
    strangers: new LiveBudget(liveCharacters.strangers),
    known: new LiveBudget(liveCharacters.known),
  };
  #renewedMs = performance.now();
  #renewing: NodeJS.Timeout | undefined;
  readonly #shares = new WatchShares();
  #looking: NodeJS.Timeout | undefined;
  #hasOtherHubs = false;

  constructor(readonly dashboards: DashboardNamespace) {
    super();
  }

  get clients(): { connected: number; lagging: number } {
    const sockets = [...this.dashboards.sockets.values()];
    return { connected: sockets.length, lagging: sockets.filter(({ data }) => data.lagging?.size > 0).length };
  }

  /**
   * Replaces the series of a run that a client watches.
   * @throws Refusal `invalid` above the most runs, `rate_limited` above the bounds of WatchShares
   */
  async watch(socket: DashboardSocket, caller: Caller, runId: RunId, series: readonly string[]): Promise<void> {
    if (!socket.connected) return;
    const { watched } = socket.data;
    if (!watched.has(runId) && watched.size >= maxWatchedRuns)
      throw new Refusal('invalid', `A connection watches at most ${maxWatchedRuns} runs. Stop watching another first.`);
    const filter = new SeriesFilter(series);
    const before = watched.get(runId);
    const ofRun = this.#watched.get(runId) ?? { series: new WatchedSeries(), messages: new Mailbox(), sentSeq: 0 };
    if (before?.key !== filter.key) {
      this.#shares.take(caller, selectionOf(runId, filter), before ? selectionOf(runId, before) : null);
      this.#watched.set(runId, ofRun);
      watched.set(runId, filter);
      ofRun.series.add(filter, socket.data.isKnown);
      if (before) ofRun.series.remove(before.key, socket.data.isKnown);
    }
    // Between two messages, so that it misses none.
    await ofRun.messages.post(() => this.#move(socket, runId, before));
  }

  unwatch(socket: DashboardSocket, caller: Caller, runId: RunId): void {
    const filter = socket.data.watched.get(runId);
    if (!filter) return;
    socket.data.lagging.delete(runId);
    this.#leave(socket, runId);
    socket.data.watched.delete(runId);
    this.#shares.release(caller, selectionOf(runId, filter));
    const ofRun = this.#watched.get(runId);
    ofRun?.series.remove(filter.key, socket.data.isKnown);
    if (ofRun?.series.isEmpty) this.#watched.delete(runId);
  }

  /** The client has disconnected. */
  leave(socket: DashboardSocket, caller: Caller): void {
    for (const runId of [...socket.data.watched.keys()]) this.unwatch(socket, caller, runId);
  }

  /** Joins the room of the series that the client watches now, and leaves that of those it watched before. */
  async #move(socket: DashboardSocket, runId: RunId, before: SeriesFilter | undefined): Promise<void> {
    if (before && before.key !== socket.data.watched.get(runId)?.key) {
      const room = seriesRoomOf(runId, before.key);
      await socket.leave(room);
      const missed = this.#budgets.known.missedBy(room) ?? this.#budgets.strangers.missedBy(room);
      if (missed) socket.emit('lagged', missed);
    }
    await this.#join(socket, runId);
  }

  async #join(socket: DashboardSocket, runId: RunId): Promise<void> {
    const key = socket.data.watched.get(runId)?.key;
    if (key !== undefined) await socket.join([roomOf(runId), seriesRoomOf(runId, key)]);
  }

  #leave(socket: DashboardSocket, runId: RunId): void {
    const key = socket.data.watched.get(runId)?.key;
    void socket.leave(roomOf(runId));
    if (key !== undefined) void socket.leave(seriesRoomOf(runId, key));
  }

  push(runId: RunId, events: readonly TrainerEvent[]): void {
    const feed = this.#feeds.get(runId) ?? { sentSeq: events[0]!.seq - 1, waiting: [], flushedMs: 0, timer: null };
    this.#feeds.set(runId, feed);
    // Another hub held the run meanwhile.
    if (feed.waiting.length === 0 && events[0]!.seq > feed.sentSeq + 1) feed.sentSeq = events[0]!.seq - 1;
    for (const event of events) {
      if (isMetricEvent(event)) {
        feed.waiting.push(event);
        continue;
      }
      this.#flush(runId, feed);
      void this.#post(runId, (run) => this.#sendControl(run, runId, event));
      feed.sentSeq = event.seq;
    }
    if (feed.waiting.length === 0) return;
    const waitMs = Math.max(0, feed.flushedMs + flushMs - performance.now());
    feed.timer ??= setTimeout(() => this.#flush(runId, feed), waitMs);
  }

  /** Forgets a deleted run, with its unsent messages; a new run under its id counts its events from 1. */
  forget(runId: RunId): void {
    clearTimeout(this.#feeds.get(runId)?.timer ?? undefined);
    this.#feeds.delete(runId);
    const ofRun = this.#watched.get(runId);
    if (!ofRun) return;
    ofRun.series.forgetNames();
    this.#watched.set(runId, { series: ofRun.series, messages: new Mailbox(), sentSeq: 0 });
  }

  /**
   * Connects other hubs. They get the events that arrive here, and each serves its own browsers. Control events of other hubs
   * bypass this class, so a timer looks for slow clients.
   */
  watchOverOtherHubs(): void {
    this.#hasOtherHubs = true;
    this.dashboards.on(
      'metrics',
      (batch) => void this.#post(batch.runId, (run) => run && this.#sendMetrics(run, batch)),
    );
    const look = () => {
      for (const runId of this.#watched.keys()) void this.#post(runId, (run) => run && this.#leaveOutSlow(runId, run));
    };
    this.#looking = setInterval(look, 2 * flushMs).unref();
  }

  /** Sends all waiting events before the hub closes. @returns resolves when they are sent */
  async close(): Promise<void> {
    clearInterval(this.#looking);
    clearTimeout(this.#renewing);
    for (const [runId, feed] of this.#feeds) this.#flush(runId, feed);
    await Promise.all([...this.#watched.keys()].map((runId) => this.#post(runId, () => undefined)));
  }

  #flush(runId: RunId, feed: Feed): void {
    if (feed.timer) clearTimeout(feed.timer);
    feed.timer = null;
    const events = feed.waiting;
    if (events.length === 0) return;
    feed.waiting = [];
    feed.flushedMs = performance.now();
    const toSeq = events[events.length - 1]!.seq;
    const batch = { runId, fromSeq: feed.sentSeq, toSeq, events };
    feed.sentSeq = toSeq;
    if (this.#hasOtherHubs) this.dashboards.serverSideEmit('metrics', batch);
    void this.#post(runId, (run) => run && this.#sendMetrics(run, batch));
  }

  /** Does the work after all earlier messages of the run; at once where nobody at this hub watches it. */
  async #post(runId: RunId, work: (run: WatchedRun | undefined) => void | Promise<void>): Promise<void> {
    const run = this.#watched.get(runId);
    if (!run) return work(undefined);
    await run.messages.post(() => (this.#isCurrent(runId, run) ? work(run) : undefined));
  }

  /** Whether the run has neither been deleted nor left by all who watched. */
  #isCurrent(runId: RunId, run: WatchedRun): boolean {
    return this.#watched.get(runId) === run;
  }

  #sendControl(run: WatchedRun | undefined, runId: RunId, event: Exclude<TrainerEvent, MetricEvent>): void {
    if (run) {
      run.sentSeq = event.seq - 1;
      this.#leaveOutSlow(runId, run);
      run.sentSeq = event.seq;
    }
    // The browsers of other hubs, too.
    this.dashboards.to(roomOf(runId)).emit('control', { runId, event: isLargeEvent(event) ? noticeOf(event) : event });
    const clients = this.dashboards.adapter.rooms.get(roomOf(runId))?.size ?? 0;
    if (clients > 0) this.emit('sent', clients);
  }

  /**
   * Sends each browser of this hub its watched series; all that watch the same share one message. The selections that
   * have cost the least come first. Those above their share are left out.
   */
  async #sendMetrics(run: WatchedRun, batch: MetricBatch): Promise<void> {
    const { runId, fromSeq, toSeq, events } = batch;
    run.sentSeq = fromSeq;
    this.#leaveOutSlow(runId, run);
    if (performance.now() >= this.#renewedMs + renewMs) this.#renew();
    const select = run.series.selector(events);
    const selections = [...run.series.keys].map((key) => {
      const budget = this.#budgets[run.series.isOfKnown(key) ? 'known' : 'strangers'];
      const room = seriesRoomOf(runId, key);
      return { key, room, budget, cost: budget.costOf(room) };
    });
    const turn = new Turn();
    for (const { key, room, budget } of selections.sort((a, b) => a.cost - b.cost)) {
      if (turn.isOver) await turn.next();
      if (!this.#isCurrent(runId, run)) return;
      const clients = this.dashboards.adapter.rooms.get(room)?.size ?? 0;
      // Every client with this filter lags.
      if (clients === 0 || !budget.admits(room, { runId, lastSeq: fromSeq })) continue;
      const selected = select(key);
      this.dashboards.local.to(room).emit('metrics', { ...batch, events: [...selected.events] });
      budget.charge(room, selected.characters);
      this.emit('sent', selected.events.length * clients);
    }
    run.sentSeq = toSeq;
    if (Object.values(this.#budgets).some(({ hasLeftOut }) => hasLeftOut))
      this.#renewing ??= setTimeout(
        () => this.#renew(),
        Math.max(0, this.#renewedMs + renewMs - performance.now()),
      ).unref();
  }

  /** Begins a new second of the budgets. Tells clients that were left out from where to fetch history. */
  #renew(): void {
    clearTimeout(this.#renewing);
    this.#renewing = undefined;
    this.#renewedMs = performance.now();
    let [selections, clients] = [0, 0];
    for (const [name, budget] of Object.entries(this.#budgets)) {
      const sockets = [...this.dashboards.sockets.values()].filter(({ data }) => data.isKnown === (name === 'known'));
      const { held, cut } = boundUnsent(sockets, budget.perSecond / 2);
      const missed = budget.renew(held);
      for (const [room, from] of missed) this.dashboards.local.to(room).emit('lagged', from);
      selections += missed.length;
      clients += cut.length;
    }
    if (selections > 0) this.emit('left_out', { selections });
    if (clients > 0) this.emit('cut', { clients });
  }

  #leaveOutSlow(runId: RunId, { sentSeq: lastSeq }: WatchedRun): void {
    const room = roomOf(runId);
    for (const id of this.dashboards.adapter.rooms.get(room) ?? []) {
      const socket = this.dashboards.sockets.get(id);
      if (!socket || unsent(socket) <= maxUnsent) continue;
      this.#leave(socket, runId);
      // Already waiting, as it has watched again meanwhile.
      if (socket.data.lagging.has(runId)) continue;
      socket.data.lagging.add(runId);
      this.emit('lagging', { clientId: socket.id, runId, unsentCharacters: unsent(socket) });
      const rejoinWhenDrained = () => {
        if (!socket.connected || unsent(socket) > 0) return;
        socket.conn.off('drain', rejoinWhenDrained);
        if (!socket.data.lagging.delete(runId)) return;
        void this.#join(socket, runId);
        socket.emit('lagged', { runId, lastSeq });
      };
      socket.conn.on('drain', rejoinWhenDrained);
    }
  }
}
