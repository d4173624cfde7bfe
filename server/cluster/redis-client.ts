import { createClient } from 'redis';
import type { PublishWatch } from './publish-watch.js';

/** The address of a Redis for logs, without user and password. */
export function redisName(url: string): string {
  const { protocol, host, pathname } = new URL(url);
  return `${protocol}//${host}${pathname}`;
}

/** @param queue how many requests may wait while Redis is away; 0 refuses them at once */
const newClient = (url: string, queue: number) =>
  createClient({
    url,
    ...(queue === 0 ? { disableOfflineQueue: true } : { commandsQueueMaxLength: queue }),
    socket: { reconnectStrategy: (retries) => Math.min(400, 50 * 2 ** Math.min(retries, 3)), connectTimeout: 2000 },
  });
export type RedisClient = ReturnType<typeof newClient>;

/**
 * Connects to Redis, and reconnects after each lost connection. Requests meanwhile are refused at once.
 * @param onError is called once per lost connection
 */
export async function connectRedis(url: string, onError: (error: unknown) => void): Promise<RedisClient> {
  const client = newClient(url, 0);
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
