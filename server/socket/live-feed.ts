import { EventEmitter } from 'node:events';
import { isLargeEvent, noticeOf } from '@plumbline/shared/large-event';
import { RunId } from '@plumbline/shared/run';
import type { MetricBatch } from '@plumbline/shared/socket';
import { isMetricEvent, type MetricEvent, type TrainerEvent } from '@plumbline/shared/trainer-event';
import type { Caller } from '../access/caller.js';
import { Refusal } from '../run/refusal.js';
import { SeriesFilter } from '../run/series-filter.js';
import type { DashboardNamespace, DashboardSocket } from './socket-server.js';
import { namesIn, WatchShares, type Selection } from './watch-shares.js';
import { WatchedSeries } from './watched-series.js';

/** The interval of metric events; the first after a pause goes out at once. Control events do not wait. */
const flushMs = 50;
/** A client with a longer send backlog is skipped until it has caught up. In characters, about bytes. */
const maxUnsent = 1_000_000;
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

interface Feed {
  /** The last event that was sent to the room. */
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
}

/**
 * Sends the events of runs to the browsers that watch them, in order of their numbers. A client that is too slow leaves the
 * room, which bounds its send buffer. Once it has drained, it rejoins and hears from where to fetch history.
 */
export class LiveFeed extends EventEmitter<LiveFeedEvents> {
  readonly #feeds = new Map<RunId, Feed>();
  /** The watched series of each run at this hub. */
  readonly #watched = new Map<RunId, WatchedSeries>();
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
    if (before?.key !== filter.key) {
      this.#shares.take(caller, selectionOf(runId, filter), before ? selectionOf(runId, before) : null);
      if (before) this.#watched.get(runId)?.remove(before.key);
      watched.set(runId, filter);
      const ofRun = this.#watched.get(runId) ?? new WatchedSeries();
      this.#watched.set(runId, ofRun);
      ofRun.add(filter);
      if (before) await socket.leave(seriesRoomOf(runId, before.key));
    }
    await this.#join(socket, runId);
  }

  unwatch(socket: DashboardSocket, caller: Caller, runId: RunId): void {
    const filter = socket.data.watched.get(runId);
    if (!filter) return;
    socket.data.lagging.delete(runId);
    this.#leave(socket, runId);
    socket.data.watched.delete(runId);
    this.#shares.release(caller, selectionOf(runId, filter));
    const ofRun = this.#watched.get(runId);
    ofRun?.remove(filter.key);
    if (ofRun?.isEmpty) this.#watched.delete(runId);
  }

  /** The client has disconnected. */
  leave(socket: DashboardSocket, caller: Caller): void {
    for (const runId of [...socket.data.watched.keys()]) this.unwatch(socket, caller, runId);
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
      this.#leaveOutSlow(runId);
      this.dashboards
        .to(roomOf(runId))
        .emit('control', { runId, event: isLargeEvent(event) ? noticeOf(event) : event });
      this.#countSent(runId, 1);
      feed.sentSeq = event.seq;
    }
    if (feed.waiting.length === 0) return;
    const waitMs = Math.max(0, feed.flushedMs + flushMs - performance.now());
    feed.timer ??= setTimeout(() => this.#flush(runId, feed), waitMs);
  }

  /** Forgets a deleted run; a new run under its id counts its events from 1. */
  forget(runId: RunId): void {
    clearTimeout(this.#feeds.get(runId)?.timer ?? undefined);
    this.#feeds.delete(runId);
    this.#watched.get(runId)?.forgetNames();
  }

  /**
   * Connects other hubs. They get the events that arrive here, and each serves its own browsers. Control events of other hubs
   * bypass this class, so a timer looks for slow clients.
   */
  watchOverOtherHubs(): void {
    this.#hasOtherHubs = true;
    this.dashboards.on('metrics', (batch) => this.#deliver(batch));
    const look = () => {
      for (const room of this.dashboards.adapter.rooms.keys())
        if (room.startsWith(roomPrefix)) this.#leaveOutSlow(RunId.parse(room.slice(roomPrefix.length)));
    };
    this.#looking = setInterval(look, 2 * flushMs).unref();
  }

  /** Sends all waiting events before the hub closes. */
  close(): void {
    clearInterval(this.#looking);
    for (const [runId, feed] of this.#feeds) this.#flush(runId, feed);
  }

  #flush(runId: RunId, feed: Feed): void {
    if (feed.timer) clearTimeout(feed.timer);
    feed.timer = null;
    const events = feed.waiting;
    if (events.length === 0) return;
    feed.waiting = [];
    feed.flushedMs = performance.now();
    this.#leaveOutSlow(runId);
    const toSeq = events[events.length - 1]!.seq;
    const batch = { runId, fromSeq: feed.sentSeq, toSeq, events };
    if (this.#hasOtherHubs) this.dashboards.serverSideEmit('metrics', batch);
    this.#deliver(batch);
    feed.sentSeq = toSeq;
  }

  /** Sends each browser of this hub its watched series; all that watch the same share one message. */
  #deliver(batch: MetricBatch): void {
    const { runId, events } = batch;
    const watched = this.#watched.get(runId);
    if (!watched) return;
    const select = watched.selector(events);
    for (const key of watched.keys) {
      const room = seriesRoomOf(runId, key);
      const clients = this.dashboards.adapter.rooms.get(room)?.size ?? 0;
      // Every client with this filter lags.
      if (clients === 0) continue;
      const selected = select(key);
      this.dashboards.local.to(room).emit('metrics', { ...batch, events: [...selected] });
      this.emit('sent', selected.length * clients);
    }
  }

  #countSent(runId: RunId, events: number): void {
    const clients = this.dashboards.adapter.rooms.get(roomOf(runId))?.size ?? 0;
    if (clients > 0) this.emit('sent', events * clients);
  }

  #leaveOutSlow(runId: RunId): void {
    const room = roomOf(runId);
    for (const id of this.dashboards.adapter.rooms.get(room) ?? []) {
      const socket = this.dashboards.sockets.get(id);
      if (!socket || unsent(socket) <= maxUnsent) continue;
      const lastSeq = this.#feeds.get(runId)?.sentSeq ?? 0;
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

/** The characters in the send buffer of a client. */
function unsent(socket: DashboardSocket): number {
  const { writeBuffer } = socket.conn as unknown as { writeBuffer: { data?: unknown }[] };
  return writeBuffer.reduce((sum, packet) => sum + (typeof packet.data === 'string' ? packet.data.length : 100), 0);
}
