import { AskedCommand } from '@plumbline/shared/command';
import { Watch } from '@plumbline/shared/socket';
import { howToControl } from '../access/how-to-control.js';
import type { Sessions } from '../access/sessions.js';
import { Refusal } from '../run/refusal.js';
import type { RunRegistry } from '../run/registry.js';
import { LiveFeed, roomOf } from './live-feed.js';
import { RateLimit } from './rate-limit.js';
import { tellOfRuns } from './run-news.js';
import { answer, type DashboardNamespace, type DashboardSocket } from './socket-server.js';

/** Namespace `/dashboard`: everybody who reaches the hub may watch, a session may give commands. */
export function serveDashboards(
  namespace: DashboardNamespace,
  runs: RunRegistry,
  sessions: Sessions,
  onError: (error: unknown) => void,
): LiveFeed {
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
  namespace.on('connection', (socket) => serveDashboard(socket, runs, sessions, onError));
  return feed;
}

function serveDashboard(
  socket: DashboardSocket,
  runs: RunRegistry,
  sessions: Sessions,
  onError: (error: unknown) => void,
): void {
  socket.data.lagging = new Set();
  const limits = { command: new RateLimit(20, 250), watch: new RateLimit(50, 100) };
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
      if (!sessions.mayControl(socket.handshake.headers.cookie))
        throw new Refusal('forbidden', howToControl(sessions.dataDir));
      return { record: await runs.command(AskedCommand.parse(message), 'dashboard') };
    }),
  );
}
