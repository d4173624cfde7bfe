import type { RunId } from '@plumbline/shared/run';
import { isMetricEvent, type MetricEvent, type TrainerEvent } from '@plumbline/shared/trainer-event';
import type { DashboardNamespace, DashboardSocket } from './socket-server.js';

/** Metric events go out at most this often, the first after a pause at once; control events do not wait. */
const flushMs = 50;
/** A client with more than this unsent is left out until it has caught up. Characters, about bytes. */
const maxUnsent = 1_000_000;

export const roomOf = (runId: RunId): string => `run:${runId}`;

interface Feed {
  /** Everything up to here has gone to the room. */
  sentSeq: number;
  waiting: MetricEvent[];
  flushedMs: number;
  timer: NodeJS.Timeout | null;
}

/**
 * Events of runs on their way to the browsers that watch them, in order of their numbers.
 * A client that cannot keep up leaves the room, so that what the hub holds for it is bounded; when it has read what
 * it was sent, it is back in the room and is told from where to fetch.
 */
export class LiveFeed {
  readonly #feeds = new Map<RunId, Feed>();

  constructor(readonly dashboards: DashboardNamespace) {}

  push(runId: RunId, events: readonly TrainerEvent[]): void {
    const feed = this.#feeds.get(runId) ?? { sentSeq: events[0]!.seq - 1, waiting: [], flushedMs: 0, timer: null };
    this.#feeds.set(runId, feed);
    for (const event of events) {
      if (isMetricEvent(event)) {
        feed.waiting.push(event);
        continue;
      }
      this.#flush(runId, feed);
      this.#leaveOutSlow(runId, feed);
      this.dashboards.to(roomOf(runId)).emit('control', { runId, event });
      feed.sentSeq = event.seq;
    }
    if (feed.waiting.length === 0) return;
    const waitMs = Math.max(0, feed.flushedMs + flushMs - performance.now());
    feed.timer ??= setTimeout(() => this.#flush(runId, feed), waitMs);
  }

  /** Sends what waits, for a clean end. */
  close(): void {
    for (const [runId, feed] of this.#feeds) this.#flush(runId, feed);
  }

  #flush(runId: RunId, feed: Feed): void {
    if (feed.timer) clearTimeout(feed.timer);
    feed.timer = null;
    const events = feed.waiting;
    if (events.length === 0) return;
    feed.waiting = [];
    feed.flushedMs = performance.now();
    this.#leaveOutSlow(runId, feed);
    const toSeq = events[events.length - 1]!.seq;
    this.dashboards.to(roomOf(runId)).emit('metrics', { runId, fromSeq: feed.sentSeq, toSeq, events });
    feed.sentSeq = toSeq;
  }

  #leaveOutSlow(runId: RunId, feed: Feed): void {
    const room = roomOf(runId);
    for (const id of this.dashboards.adapter.rooms.get(room) ?? []) {
      const socket = this.dashboards.sockets.get(id);
      if (!socket || unsent(socket) <= maxUnsent) continue;
      const lastSeq = feed.sentSeq;
      void socket.leave(room);
      socket.data.lagging.add(runId);
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
