import { createClient } from 'redis';
import type { PublishWatch } from './publish-watch.js';

/** The address of a Redis for logs, without user and password. */
export function redisName(url: string): string {
  const { protocol, host, pathname } = new URL(url);
  return `${protocol}//${host}${pathname}`;
}

/** Interval of pings on a quiet connection. */
const pingInterval = 1000;
/** A connection without a byte for this long is dead, and is made anew. */
const socketTimeout = 2500;
/** While a request has waited this long, others are refused: bytes that nobody answers would hide a dead connection. */
const overdueMs = 1000;
/** The longest that the streams adapter may wait in one read: well below `socketTimeout`. */
export const longestReadMs = 1000;

/** @param queue how many requests may wait while Redis is away; 0 refuses them at once */
const newClient = (url: string, queue: number) =>
  createClient({
    ...{ url, pingInterval },
    ...(queue === 0 ? { disableOfflineQueue: true } : { commandsQueueMaxLength: queue }),
    socket: {
      reconnectStrategy: (retries) => Math.min(400, 50 * 2 ** Math.min(retries, 3)),
      ...{ connectTimeout: 2000, socketTimeout },
    },
  });
export type RedisClient = ReturnType<typeof newClient>;

/** The requests that hubs send. */
const requests = ['eval', 'get', 'mGet', 'publish', 'set', 'xAdd'] as const;
type Request = (...given: unknown[]) => Promise<unknown>;

/** Refuses requests at once while an earlier one is overdue. */
function refuseWhileOverdue(client: RedisClient): void {
  /** When each unanswered request was sent, the oldest first. */
  const waiting = new Set<{ sinceMs: number }>();
  const bounded =
    (send: Request): Request =>
    async (...given) => {
      const nowMs = performance.now();
      const [oldest] = waiting;
      if (oldest && nowMs - oldest.sinceMs > overdueMs) throw new Error('Redis leaves requests without an answer.');
      const request = { sinceMs: nowMs };
      waiting.add(request);
      return send(...given).finally(() => waiting.delete(request));
    };
  for (const name of requests) Object.assign(client, { [name]: bounded((client[name] as Request).bind(client)) });
}

/**
 * Connects to Redis, and reconnects after each lost connection. Requests meanwhile are refused at once, and a connection that
 * dies without a sign is left after a few seconds.
 * @param onError is called once per lost connection
 */
export async function connectRedis(url: string, onError: (error: unknown) => void): Promise<RedisClient> {
  const client = newClient(url, 0);
  refuseWhileOverdue(client);
  let told = false;
  client.on('ready', () => (told = false));
  client.on('error', (error: unknown) => {
    if (!told)
      onError(new Error(`Redis at ${redisName(url)} does not answer; trying again until it does.`, { cause: error }));
    told = true;
  });
  await client.connect();
  return client;
}

/**
 * A client for Socket.IO's streams adapter (0.3). The adapter has two faults while Redis is away: it does not handle the
 * rejection of a heartbeat, which would end the process, and it repeats a refused read without a pause. Therefore this
 * client drops messages that it cannot publish, and its duplicates, which read, wait for Redis. Browsers notice the gap
 * and fetch what is missing. The client of RedisCluster reports that Redis is away, and `watch` counts dropped messages.
 */
export async function connectForAdapter(url: string, watch: PublishWatch): Promise<RedisClient> {
  const client = await connectRedis(url, () => undefined);
  const xAdd = client.xAdd.bind(client);
  const publish = client.publish.bind(client);
  return Object.assign(client, {
    duplicate: () => newClient(url, 1000),
    xAdd: (...args: Parameters<typeof xAdd>) => watch.over(xAdd(...args), ''),
    publish: (...args: Parameters<typeof publish>) => watch.over(publish(...args), 0),
  }) as RedisClient;
}
