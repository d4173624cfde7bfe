import type { WebSocket } from 'ws';
import type { DashboardSocket } from './socket-server.js';

/** The characters in the send buffer of a client. */
export function unsent(socket: DashboardSocket): number {
  const { writeBuffer } = socket.conn as unknown as { writeBuffer: { data?: unknown }[] };
  return writeBuffer.reduce((sum, packet) => sum + (typeof packet.data === 'string' ? packet.data.length : 100), 0);
}

const webSocketOf = (socket: DashboardSocket): WebSocket | undefined =>
  (socket.conn.transport as { socket?: WebSocket }).socket;

/** What the hub holds for a client that does not read: its send buffer, and what its WebSocket could not write yet. */
const heldFor = (socket: DashboardSocket): number => unsent(socket) + (webSocketOf(socket)?.bufferedAmount ?? 0);

/**
 * Cuts the connections with the most unsent data until all together hold at most `limit` characters. Clients that watch
 * the same share their messages, so only the slowest of them counts.
 * @returns the characters that are held then, and the clients whose connections were cut
 */
export function boundUnsent(
  sockets: Iterable<DashboardSocket>,
  limit: number,
): { held: number; cut: DashboardSocket[] } {
  const groups = new Map<string, { socket: DashboardSocket; held: number }[]>();
  for (const socket of sockets) {
    const held = heldFor(socket);
    if (held === 0) continue;
    const key = JSON.stringify([...socket.data.watched].map(([runId, filter]) => [runId, filter.key]));
    const group = groups.get(key) ?? [];
    groups.set(key, group);
    group.push({ socket, held });
  }
  const slowestFirst = [...groups.values()].map((group) => group.sort((a, b) => b.held - a.held));
  let held = slowestFirst.reduce((sum, [slowest]) => sum + slowest!.held, 0);
  const cut: DashboardSocket[] = [];
  while (held > limit) {
    const largest = slowestFirst.reduce((most, group) => ((group[0]?.held ?? 0) > (most[0]?.held ?? 0) ? group : most));
    const { socket, held: freed } = largest.shift()!;
    held -= freed - (largest[0]?.held ?? 0);
    cut.push(socket);
    // A close would wait behind what the client does not read.
    webSocketOf(socket)?.terminate();
    socket.conn.close(true);
  }
  return { held, cut };
}
