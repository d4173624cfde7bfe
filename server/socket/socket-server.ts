import type { Server as HttpServer } from 'node:http';
import type { RunId } from '@plumbline/shared/run';
import type {
  Ack,
  DashboardToHub,
  Failure,
  HubToDashboard,
  HubToTrainer,
  MetricBatch,
  TrainerToHub,
} from '@plumbline/shared/socket';
import { createAdapter } from '@socket.io/redis-streams-adapter';
import { Server, type Namespace, type Socket } from 'socket.io';
import { maxAnsweredBytes } from '../access/limits.js';
import { longestReadMs, type RedisClient } from '../cluster/redis-client.js';

import { toWireError, type Refusal } from '../run/refusal.js';
import type { SeriesFilter } from '../run/series-filter.js';
import { BoundedWebSocketServer } from './bounded-websocket.js';
import type { FrontDoor } from './front-door.js';
import { tolerantParser, type tooLarge } from './tolerant-parser.js';

type NoEvents = Record<string, never>;
export interface DashboardData {
  /** Whether it has a session or the trainer token. */
  isKnown: boolean;
  /** Runs whose rooms this client has left because it was too slow. */
  lagging: Set<RunId>;
  /** The filter of each watched run. */
  watched: Map<RunId, SeriesFilter>;
}
/** Messages between hubs about runs whose events arrive at one of them. */
interface HubToHub {
  metrics: (batch: MetricBatch) => void;
}
/** Messages of a trainer, and the replacement for an overlong one; see `tolerantParser`. */
type FromTrainer = TrainerToHub & { [tooLarge]: (ack?: (answer: Failure) => void) => void };
export type TrainerNamespace = Namespace<FromTrainer, HubToTrainer, NoEvents>;
export type TrainerSocket = Socket<FromTrainer, HubToTrainer, NoEvents>;
export type DashboardNamespace = Namespace<DashboardToHub, HubToDashboard, HubToHub, DashboardData>;
export type DashboardSocket = Socket<DashboardToHub, HubToDashboard, HubToHub, DashboardData>;

/**
 * Socket.IO on the hub's port. Rejoining clients fetch what they missed, so Socket.IO recovers no connection state.
 * @param silenceMs a connection counts as dead after this time without any data, not even pongs
 */
export function createSocketServer(
  http: HttpServer,
  { door, silenceMs, redis = null }: { door: FrontDoor; silenceMs: number; redis?: RedisClient | null },
) {
  const io = new Server(http, {
    ...(redis && {
      adapter: createAdapter(redis, {
        ...{ streamName: 'plumbline:live', maxLen: 2000, onlyPlaintext: true },
        blockTimeInMs: longestReadMs,
      }),
    }),
    // Clients that hear nothing for a few of these know that their connection is dead (see HubLink). A trainer may be
    // silent for much longer, while a step or a checkpoint blocks it.
    pingInterval: 1000,
    pingTimeout: silenceMs,
    maxHttpBufferSize: maxAnsweredBytes,
    parser: tolerantParser,
    wsEngine: BoundedWebSocketServer,
    // No compression: each connection would hold two zlib contexts, about 300 kB, and compress the same message again. Live
    // messages hold only the drawn series; histories come compressed over HTTP.
    perMessageDeflate: false,
    serveClient: false,
    allowRequest: door.allowRequest,
    destroyUpgrade: false,
  });
  // Engine.IO would only end its own side of the connection.
  http.on('upgrade', ({ url }, socket) => {
    if (!url?.startsWith(`${io.path()}/`))
      socket.end('HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\n', () => socket.destroy());
  });
  door.guardServer(io);
  return {
    io,
    trainers: io.of('/trainer') as TrainerNamespace,
    dashboards: io.of('/dashboard') as DashboardNamespace,
  };
}

/** Refuses a connection to a namespace: the client's `connect_error` has code and message as `data`. */
export function connectError({ code, message }: Refusal): Error {
  return Object.assign(new Error(message), { data: { code, message } });
}

/** Does the work and acknowledges its result. A message without an acknowledgement gets no answer. */
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
