import { createClient } from 'redis';
import type { PublishWatch } from './publish-watch.js';

/** A Redis as it may be named in a log: without user and password. */
export function redisName(url: string): string {
  const { protocol, host, pathname } = new URL(url);
  return `${protocol}//${host}${pathname}`;
}

/** @param queue how many requests may wait while Redis is gone; 0 refuses them at once */
const newClient = (url: string, queue: number) =>
  createClient({
    url,
    ...(queue === 0 ? { disableOfflineQueue: true } : { commandsQueueMaxLength: queue }),
    socket: { reconnectStrategy: (retries) => Math.min(400, 50 * 2 ** Math.min(retries, 3)), connectTimeout: 2000 },
  });
export type RedisClient = ReturnType<typeof newClient>;

/**
 * Connects to Redis, and again whenever it was gone; what is asked of it meanwhile is refused at once.
 * @param onError is told once each time that it is gone
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
 * A client for Socket.IO's streams adapter (0.3), which does two things that do not go with a Redis that may be gone:
 * it leaves the rejection of a heartbeat unhandled, which would end the process, and it reads on without a pause when a
 * read is refused. So here what cannot be published is let go, which browsers notice as a gap and fetch, and the clients
 * that it makes for reading wait. That Redis is gone the client of RedisCluster tells; what it refuses `watch` hears.
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
