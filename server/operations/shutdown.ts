import type { Server as HttpServer } from 'node:http';
import type { Socket } from 'node:net';
import { setImmediate as afterCallbacks } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { RunRegistry } from '../run/registry.js';
import type { TrainerSupervisor } from '../run/trainer-supervisor.js';
import type { LiveFeed } from '../socket/live-feed.js';
import type { createSocketServer } from '../socket/socket-server.js';

/** The time for built-in trainers to save and send their last event. */
const trainerStopMs = 10_000;
/** The time for clients to receive what was sent. */
const clientEndMs = 5_000;

export interface ShutdownParts {
  runs: RunRegistry;
  supervisor: TrainerSupervisor;
  feed: LiveFeed;
  sockets: ReturnType<typeof createSocketServer>;
  server: HttpServer;
  connections: ReadonlySet<Socket>;
  log: Logger;
}

/** The open connections of a server, including WebSockets. */
export function openConnections(server: HttpServer): ReadonlySet<Socket> {
  const connections = new Set<Socket>();
  server.on('connection', (socket) => {
    connections.add(socket);
    socket.once('close', () => connections.delete(socket));
  });
  return connections;
}

/**
 * Stops a hub so that every request gets an answer. The hub reports that it is not ready and accepts no new work. Built-in
 * trainers save and stop. The hub stores and acknowledges the events it has received, and clients receive what was sent.
 * Then the store is closed.
 * @throws Error that names what was still open after `limitMs`
 */
export async function shutDown(parts: ShutdownParts, limitMs: number): Promise<void> {
  const { runs, log } = parts;
  let step = 'built-in trainers';
  const end = async () => {
    runs.drain.start();
    const going = await parts.supervisor.stopAll(trainerStopMs);
    if (going.length > 0)
      log.warn({ runs: going }, 'built-in trainers have not stopped; they continue and attach to the next hub');
    step = 'work under way';
    await runs.drain.finish();
    await parts.feed.close();
    await afterCallbacks();
    step = 'connections';
    await endConnections(parts);
    runs.close();
    step = 'store';
    await runs.store.close();
  };
  log.info('hub stopping');
  if (await within(end(), limitMs)) return log.info('hub stopped');
  const open = { step, underWay: runs.drain.underWay, connections: parts.connections.size };
  log.error(open, 'hub exits although work is unfinished');
  throw new Error(
    `The hub did not stop within ${limitMs / 1000} s and exits now. Still open: ${step} ` +
      `(${open.underWay} calls under way, ${open.connections} connections).`,
  );
}

async function endConnections({ sockets, server, connections, log }: ShutdownParts): Promise<void> {
  const ended = new Promise<void>((resolve) => server.close(() => resolve()));
  // The client answers the close of a WebSocket, which shows that it has received all data before.
  for (const { conn } of [...sockets.trainers.sockets.values(), ...sockets.dashboards.sockets.values()]) conn.close();
  const idle = setInterval(() => server.closeIdleConnections(), 50);
  if (!(await within(ended, clientEndMs))) {
    log.warn(
      { connections: connections.size },
      'clients have not received everything that was sent; connections are cut',
    );
    for (const connection of connections) connection.destroy();
  }
  clearInterval(idle);
  await sockets.io.close();
}

/** Whether the work ends in time. @throws the error of the work */
async function within(work: Promise<void>, limitMs: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<false>((resolve) => (timer = setTimeout(() => resolve(false), limitMs)));
  try {
    return await Promise.race([work.then(() => true as const), late]);
  } finally {
    clearTimeout(timer);
  }
}
