import type { Server as HttpServer } from 'node:http';
import type { RunId } from '@plumbline/shared/run';
import type { Ack, DashboardToHub, HubToDashboard, HubToTrainer, TrainerToHub } from '@plumbline/shared/socket';
import { createAdapter } from '@socket.io/redis-streams-adapter';
import { Server, type Namespace, type Socket } from 'socket.io';
import type { RedisClient } from '../cluster/redis-client.js';
import { refusedRequest, type GuardOptions } from '../access/origin-guard.js';
import { toWireError } from '../run/refusal.js';

type NoEvents = Record<string, never>;
export interface DashboardData {
  /** Runs whose live data this client could not take; it is not in their rooms now. */
  lagging: Set<RunId>;
}
export type TrainerNamespace = Namespace<TrainerToHub, HubToTrainer, NoEvents>;
export type TrainerSocket = Socket<TrainerToHub, HubToTrainer, NoEvents>;
export type DashboardNamespace = Namespace<DashboardToHub, HubToDashboard, NoEvents, DashboardData>;
export type DashboardSocket = Socket<DashboardToHub, HubToDashboard, NoEvents, DashboardData>;

/**
 * A longer message ends the connection (WebSocket close code 1009). The longest is a `run_started`: with 50,000
 * parameters, each in a group of its own, and names of 46 characters it has about 27 MB (see `ModelInfo`).
 */
export const maxMessageBytes = 32 * 1024 * 1024;

/** Socket.IO on the hub's port. Every rejoining client fetches what it missed, so no connection state is recovered. */
export function createSocketServer(http: HttpServer, guard: GuardOptions, redis: RedisClient | null = null) {
  const io = new Server(http, {
    ...(redis && {
      adapter: createAdapter(redis, { streamName: 'plumbline:live', maxLen: 2000, onlyPlaintext: true }),
    }),
    // Clients that hear nothing for a few of these know that their connection is dead (see HubLink). A trainer may be
    // silent for much longer, while a step or a checkpoint blocks it.
    pingInterval: 1000,
    pingTimeout: 45_000,
    maxHttpBufferSize: maxMessageBytes,
    perMessageDeflate: false,
    serveClient: false,
    allowRequest: (request, decide) => {
      const refusal = refusedRequest(request, guard);
      decide(refusal, refusal === null);
    },
  });
  return {
    io,
    trainers: io.of('/trainer') as TrainerNamespace,
    dashboards: io.of('/dashboard') as DashboardNamespace,
  };
}

/** Does the work and tells the other side how it went; a caller that wants no answer gets none, and causes no error. */
export function answer<T extends object>(ack: Ack<T>, onError: (error: unknown) => void, work: () => Promise<T>): void {
  const reply: Ack<T> = typeof ack === 'function' ? ack : () => {};
  work()
    .then((result) => reply({ ok: true, ...result }))
    .catch((error: unknown) => {
      const wireError = toWireError(error);
      if (wireError.code === 'internal' || wireError.code === 'store_failed') onError(error);
      reply({ ok: false, error: wireError });
    });
}
