import { AskedCommand } from '@plumbline/shared/command';
import { progressOf } from '@plumbline/shared/run';
import { Unwatch, Watch } from '@plumbline/shared/socket';
import type { Caller } from '../access/caller.js';
import { howToControl, howToWatch } from '../access/how-to-control.js';
import { dashboardBudgets } from '../access/limits.js';
import { mayWatch, type WatchSetting } from '../access/may-watch.js';
import type { Sessions } from '../access/sessions.js';
import { Mailbox } from '../run/mailbox.js';
import { Refusal } from '../run/refusal.js';
import type { RunRegistry } from '../run/registry.js';
import { LiveFeed, roomOf } from './live-feed.js';
import { RateLimit } from '../access/rate-limit.js';
import type { FrontDoor } from './front-door.js';
import { tellOfRuns } from './run-news.js';
import { answer, connectError, type DashboardNamespace, type DashboardSocket } from './socket-server.js';

/** The filter of clients that name no series. */
const allSeries = ['*'];
/** The dashboards of one session. */
const sessionRoom = (name: string): string => `session:${name}`;

export interface DashboardParts {
  runs: RunRegistry;
  sessions: Sessions;
  door: FrontDoor;
  watch: WatchSetting;
  onError: (error: unknown) => void;
}

/** Namespace `/dashboard`: for watching, if allowed (see WatchSetting); a session may also give commands. */
export function serveDashboards(namespace: DashboardNamespace, parts: DashboardParts): LiveFeed {
  const { runs, sessions, door, watch } = parts;
  namespace.use((socket, next) => {
    const { kind } = door.callerOf(socket.conn);
    if (!mayWatch(watch, kind)) return next(connectError(new Refusal('unauthorized', howToWatch)));
    const full = door.admit(socket.conn, kind === 'address' ? 'watching' : kind);
    next(full === null ? undefined : connectError(new Refusal('rate_limited', full)));
  });
  // At any hub.
  sessions.on('closed', (name) => {
    if (!mayWatch(watch, 'address')) namespace.in(sessionRoom(name)).disconnectSockets(true);
  });
  const feed = new LiveFeed(namespace);
  runs.on('events', (runId, events) => feed.push(runId, events));
  tellOfRuns(runs, {
    changed: (run) => namespace.emit('run', run),
    progressed: (run) => namespace.volatile.emit('progress', progressOf(run)),
  });
  // Every hub hears of it and notifies its own browsers.
  runs.on('deleted', (run) => {
    feed.forget(run.runId);
    namespace.local.emit('run_deleted', run);
  });
  runs.on('command', (record) => namespace.to(roomOf(record.runId)).emit('command', record));
  runs.on('rules', (runId, rules) => namespace.to(roomOf(runId)).emit('rules', { runId, rules }));
  namespace.on('connection', (socket) => {
    const caller = door.callerOf(socket.conn);
    if (caller.kind === 'session') void socket.join(sessionRoom(caller.name));
    serveDashboard(socket, caller, feed, parts);
  });
  return feed;
}

function serveDashboard(
  socket: DashboardSocket,
  caller: Caller,
  feed: LiveFeed,
  { runs, sessions, onError }: Pick<DashboardParts, 'runs' | 'sessions' | 'onError'>,
): void {
  Object.assign(socket.data, { isKnown: caller.kind !== 'address', lagging: new Set(), watched: new Map() });
  const limits = { command: new RateLimit(dashboardBudgets.command), watch: new RateLimit(dashboardBudgets.watch) };
  const limit = (what: keyof typeof limits) => {
    if (!limits[what].take()) throw new Refusal('rate_limited', 'Too many requests; wait a second and try again.');
  };

  /** Watches begin and end in the order in which the client asks. */
  const watches = new Mailbox();

  socket.on('watch', (message, ack) =>
    answer(ack, onError, async () => {
      limit('watch');
      const { runId, series = allSeries } = Watch.parse(message);
      return watches.post(async () => {
        await runs.get(runId);
        await feed.watch(socket, caller, runId, series);
        // Reads after joining, so that the room gets all events that become durable later.
        const run = await runs.get(runId);
        return { run, lastSeq: run.lastSeq };
      });
    }),
  );

  socket.on('unwatch', (message) => {
    const watch = Unwatch.safeParse(message);
    if (watch.success) void watches.post(() => feed.unwatch(socket, caller, watch.data.runId));
  });

  socket.on('disconnect', () => feed.leave(socket, caller));

  socket.on('command', (message, ack) =>
    answer(ack, onError, async () => {
      limit('command');
      if (!sessions.mayControl(socket.handshake.headers.cookie)) throw new Refusal('forbidden', howToControl);
      return { record: await runs.command(AskedCommand.parse(message), 'dashboard') };
    }),
  );
}
