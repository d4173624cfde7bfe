import { EventEmitter } from 'node:events';
import { RunId } from '@plumbline/shared/run';
import { isMetricEvent, type MetricEvent, type TrainerEvent } from '@plumbline/shared/trainer-event';
import type { DashboardNamespace, DashboardSocket } from './socket-server.js';

/** Metric events go out at most this often, the first after a pause at once; control events do not wait. */
const flushMs = 50;
/** A client with more than this unsent is left out until it has caught up. Characters, about bytes. */
const maxUnsent = 1_000_000;

const roomPrefix = 'run:';
export const roomOf = (runId: RunId): string => roomPrefix + runId;

interface Feed {
  /** Everything up to here has gone to the room. */
  sentSeq: number;
  waiting: MetricEvent[];
  flushedMs: number;
  timer: NodeJS.Timeout | null;
}

interface LiveFeedEvents {
  /** Events went to a room; the sum over the clients in it. */
  sent: [events: number];
  /** A client cannot keep up and is left out of a run's live data until it can. */
  lagging: [{ clientId: string; runId: RunId; unsentCharacters: number }];
}

/**
 * Events of runs on their way to the browsers that watch them, in order of their numbers.
 * A client that cannot keep up leaves the room, so that what the hub holds for it is bounded; when it has read what
 * it was sent, it is back in the room and is told from where to fetch.
 */
export class LiveFeed extends EventEmitter<LiveFeedEvents> {
  readonly #feeds = new Map<RunId, Feed>();
  #looking: NodeJS.Timeout | undefined;
  /** Clients of other hubs may be in rooms that are empty here. */
  #hasOtherHubs = false;

  constructor(readonly dashboards: DashboardNamespace) {
    super();
  }

  get clients(): { connected: number; lagging: number } {
    const sockets = [...this.dashboards.sockets.values()];
    return { connected: sockets.length, lagging: sockets.filter(({ data }) => data.lagging?.size > 0).length };
  }

  push(runId: RunId, events: readonly TrainerEvent[]): void {
    const feed = this.#feeds.get(runId) ?? { sentSeq: events[0]!.seq - 1, waiting: [], flushedMs: 0, timer: null };
    this.#feeds.set(runId, feed);
    // Another hub had the run meanwhile.
    if (feed.waiting.length === 0 && events[0]!.seq > feed.sentSeq + 1) feed.sentSeq = events[0]!.seq - 1;
    for (const event of events) {
      if (isMetricEvent(event)) {
        feed.waiting.push(event);
        continue;
      }
      this.#flush(runId, feed);
      this.#leaveOutSlow(runId);
      this.dashboards.to(roomOf(runId)).emit('control', { runId, event });
      this.#countSent(runId, 1);
      feed.sentSeq = event.seq;
    }
    if (feed.waiting.length === 0) return;
    const waitMs = Math.max(0, feed.flushedMs + flushMs - performance.now());
    feed.timer ??= setTimeout(() => this.#flush(runId, feed), waitMs);
  }

  /** The run is no more; one that is made anew under its id counts its events from 1. */
  forget(runId: RunId): void {
    clearTimeout(this.#feeds.get(runId)?.timer ?? undefined);
    this.#feeds.delete(runId);
  }

  /** What other hubs send to rooms does not pass here, so clients that cannot keep up are looked for. */
  watchOverOtherHubs(): void {
    const look = () => {
      for (const room of this.dashboards.adapter.rooms.keys())
        if (room.startsWith(roomPrefix)) this.#leaveOutSlow(RunId.parse(room.slice(roomPrefix.length)));
    };
    this.#hasOtherHubs = true;
    this.#looking = setInterval(look, 2 * flushMs).unref();
  }

  /** Sends what waits, for a clean end. */
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
    // The adapter makes the packet before it looks who is there.
    if (this.#hasOtherHubs || this.dashboards.adapter.rooms.has(roomOf(runId)))
      this.dashboards.to(roomOf(runId)).emit('metrics', { runId, fromSeq: feed.sentSeq, toSeq, events });
    this.#countSent(runId, events.length);
    feed.sentSeq = toSeq;
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
      void socket.leave(room);
      // Watched again meanwhile: it is waited for already.
      if (socket.data.lagging.has(runId)) continue;
      socket.data.lagging.add(runId);
      this.emit('lagging', { clientId: socket.id, runId, unsentCharacters: unsent(socket) });
      const rejoinWhenDrained = () => {
        if (!socket.connected || unsent(socket) > 0) return;
        socket.conn.off('drain', rejoinWhenDrained);
        if (!socket.data.lagging.delete(runId)) return;
        void socket.join(room);
        socket.emit('lagged', { runId, lastSeq });
      };
      socket.conn.on('drain', rejoinWhenDrained);
    }
  }
}

/** Characters that wait in this process because the client does not take them. */
function unsent(socket: DashboardSocket): number {
  const { writeBuffer } = socket.conn as unknown as { writeBuffer: { data?: unknown }[] };
  return writeBuffer.reduce((sum, packet) => sum + (typeof packet.data === 'string' ? packet.data.length : 100), 0);
}
