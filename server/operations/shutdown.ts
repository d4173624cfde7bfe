import type { Server as HttpServer } from 'node:http';
import type { Socket } from 'node:net';
import { setImmediate as afterCallbacks } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { RunRegistry } from '../run/registry.js';
import type { TrainerSupervisor } from '../run/trainer-supervisor.js';
import type { LiveFeed } from '../socket/live-feed.js';
import type { createSocketServer } from '../socket/socket-server.js';

/** How long built-in trainers have to save and say their last word. */
const trainerStopMs = 10_000;
/** How long clients have to take what they were sent. */
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

/** The connections of a server that are open, those that became WebSockets too. */
export function openConnections(server: HttpServer): ReadonlySet<Socket> {
  const connections = new Set<Socket>();
  server.on('connection', (socket) => {
    connections.add(socket);
    socket.once('close', () => connections.delete(socket));
  });
  return connections;
}

/**
 * Ends a hub so that nobody is left without an answer: it says it is not ready and begins nothing new, built-in
 * trainers save and stop, what trainers have sent is stored and answered, clients take what they were sent, the store
 * is closed.
 * @throws Error naming what was still open after `limitMs`
 */
export async function shutDown(parts: ShutdownParts, limitMs: number): Promise<void> {
  const { runs, log } = parts;
  let step = 'built-in trainers';
  const end = async () => {
    runs.drain.start();
    const going = await parts.supervisor.stopAll(trainerStopMs);
    if (going.length > 0)
      log.warn({ runs: going }, 'built-in trainers have not stopped; they go on and attach to the next hub');
    step = 'work under way';
    await runs.drain.finish();
    parts.feed.close();
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
  log.error(open, 'hub left before everything had ended');
  throw new Error(
    `The hub did not end within ${limitMs / 1000} s and leaves now. Still open: ${step} ` +
      `(${open.underWay} calls under way, ${open.connections} connections).`,
  );
}

async function endConnections({ sockets, server, connections, log }: ShutdownParts): Promise<void> {
  const ended = new Promise<void>((resolve) => server.close(() => resolve()));
  // A WebSocket's end is answered by its other side, which shows that all before it has arrived.
  for (const { conn } of [...sockets.trainers.sockets.values(), ...sockets.dashboards.sockets.values()]) conn.close();
  const idle = setInterval(() => server.closeIdleConnections(), 50);
  if (!(await within(ended, clientEndMs))) {
    log.warn({ connections: connections.size }, 'clients have not taken what they were sent; connections are cut');
    for (const connection of connections) connection.destroy();
  }
  clearInterval(idle);
  await sockets.io.close();
}

/** Whether it ends in time. Rejects as it does. */
async function within(work: Promise<void>, limitMs: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<false>((resolve) => (timer = setTimeout(() => resolve(false), limitMs)));
  try {
    return await Promise.race([work.then(() => true as const), late]);
  } finally {
    clearTimeout(timer);
  }
}
