import { AskedCommand } from '@plumbline/shared/command';
import { Watch } from '@plumbline/shared/socket';
import { howToControl, howToWatch } from '../access/how-to-control.js';
import { dashboardBudgets } from '../access/limits.js';
import { mayWatch, type WatchSetting } from '../access/may-watch.js';
import type { Sessions } from '../access/sessions.js';
import { Refusal } from '../run/refusal.js';
import type { RunRegistry } from '../run/registry.js';
import { LiveFeed, roomOf } from './live-feed.js';
import { RateLimit } from '../access/rate-limit.js';
import type { FrontDoor } from './front-door.js';
import { tellOfRuns } from './run-news.js';
import { answer, connectError, type DashboardNamespace, type DashboardSocket } from './socket-server.js';

/** The dashboards of one session. */
const sessionRoom = (name: string): string => `session:${name}`;

export interface DashboardParts {
  runs: RunRegistry;
  sessions: Sessions;
  door: FrontDoor;
  watch: WatchSetting;
  onError: (error: unknown) => void;
}

/** Namespace `/dashboard`: those who may watch (see WatchSetting) do so, a session may give commands. */
export function serveDashboards(namespace: DashboardNamespace, parts: DashboardParts): LiveFeed {
  const { runs, sessions, door, watch, onError } = parts;
  namespace.use((socket, next) => {
    const { kind } = door.callerOf(socket.conn);
    if (!mayWatch(watch, kind)) return next(connectError(new Refusal('unauthorized', howToWatch)));
    const full = door.admit(socket.conn, kind === 'address' ? 'watching' : kind);
    next(full === null ? undefined : connectError(new Refusal('rate_limited', full)));
  });
  // At whichever hub they are.
  sessions.on('closed', (name) => {
    if (!mayWatch(watch, 'address')) namespace.in(sessionRoom(name)).disconnectSockets(true);
  });
  const feed = new LiveFeed(namespace);
  runs.on('events', (runId, events) => feed.push(runId, events));
  tellOfRuns(runs, (run, isProgress) => (isProgress ? namespace.volatile : namespace).emit('run', run));
  // Every hub hears of it and tells its own browsers.
  runs.on('deleted', (run) => {
    feed.forget(run.runId);
    namespace.local.emit('run_deleted', run);
  });
  runs.on('command', (record) => namespace.to(roomOf(record.runId)).emit('command', record));
  runs.on('rules', (runId, rules) => namespace.to(roomOf(runId)).emit('rules', { runId, rules }));
  namespace.on('connection', (socket) => {
    const { kind, name } = door.callerOf(socket.conn);
    if (kind === 'session') void socket.join(sessionRoom(name));
    serveDashboard(socket, runs, sessions, onError);
  });
  return feed;
}

function serveDashboard(
  socket: DashboardSocket,
  runs: RunRegistry,
  sessions: Sessions,
  onError: (error: unknown) => void,
): void {
  socket.data.lagging = new Set();
  const limits = { command: new RateLimit(dashboardBudgets.command), watch: new RateLimit(dashboardBudgets.watch) };
  const limit = (what: keyof typeof limits) => {
    if (!limits[what].take()) throw new Refusal('rate_limited', 'Too many requests; wait a second and try again.');
  };

  socket.on('watch', (message, ack) =>
    answer(ack, onError, async () => {
      limit('watch');
      const { runId } = Watch.parse(message);
      await runs.get(runId);
      await socket.join(roomOf(runId));
      // Read after joining: what becomes durable from here on is sent to the room.
      const run = await runs.get(runId);
      return { run, lastSeq: run.lastSeq };
    }),
  );

  socket.on('unwatch', (message) => {
    const watch = Watch.safeParse(message);
    if (!watch.success) return;
    socket.data.lagging.delete(watch.data.runId);
    void socket.leave(roomOf(watch.data.runId));
  });

  socket.on('command', (message, ack) =>
    answer(ack, onError, async () => {
      limit('command');
      if (!sessions.mayControl(socket.handshake.headers.cookie)) throw new Refusal('forbidden', howToControl);
      return { record: await runs.command(AskedCommand.parse(message), 'dashboard') };
    }),
  );
}
