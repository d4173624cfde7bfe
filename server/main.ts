import { accessSync, constants, mkdirSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { isIPv6 } from 'node:net';
import { setFlagsFromString } from 'node:v8';
import type { Logger } from 'pino';
import { Callers } from './access/caller.js';
import { linkCommand } from './access/how-to-control.js';
import { Sessions } from './access/sessions.js';
import { trainerToken } from './access/trainer-token.js';
import type { HubConfig } from './config.js';
import { PublishWatch } from './cluster/publish-watch.js';
import { connectForAdapter, connectRedis } from './cluster/redis-client.js';
import { RedisCluster } from './cluster/redis-cluster.js';
import { hubUrl, removeHubAddress, writeHubAddress } from './hub-address.js';
import { createApp } from './http/app.js';
import { maxSeriesWindows, readQueues } from './http/heavy-read.js';
import { createHttpServer, UnknownConnections } from './http/http-server.js';
import { RequestTurns } from './http/request-turns.js';
import { createLog, logEvents, logFault, logPublishing } from './operations/hub-log.js';
import { HubMetrics } from './operations/hub-metrics.js';
import { readiness } from './operations/readiness.js';
import { openConnections, shutDown } from './operations/shutdown.js';
import { StoreWatch } from './operations/store-watch.js';
import { singleHub } from './run/cluster.js';
import { RunRegistry } from './run/registry.js';
import { TrainerSupervisor } from './run/trainer-supervisor.js';
import { serveDashboards } from './socket/dashboard-handler.js';
import { FrontDoor } from './socket/front-door.js';
import { createSocketServer } from './socket/socket-server.js';
import { serveTrainers } from './socket/trainer-handler.js';
import { isShared, StoreInUseError, StoreUnavailableError } from './store/event-store.js';
import { openStore } from './store/open-store.js';

export interface Hub {
  /** e.g. `http://127.0.0.1:4517` */
  url: string;
  runs: RunRegistry;
  supervisor: TrainerSupervisor;
  sessions: Sessions;
  /** Set when the store could not be opened at the start; the hub keeps running and tries again at every request. */
  storeProblem: string | null;
  /**
   * Stops built-in trainers (they save first), answers pending requests, disconnects clients, closes the store.
   * @throws Error when that takes longer than `shutdownLimitMs`, naming what is still open
   */
  close(): Promise<void>;
}

/**
 * V8 collects garbage once the heap has grown by this share. By default it waits until a heap has grown several times
 * over, as far as the machine's memory allows, which the hub's ceiling does not.
 */
const collectEarly = '--heap-growing-percent=50';

/**
 * Builds the hub; nothing else does.
 * @throws Error with advice when the port is taken or the data folder cannot be written
 */
export async function startHub(config: HubConfig, log: Logger = createLog(config.logLevel)): Promise<Hub> {
  setFlagsFromString(collectEarly);
  // Failures of the store are logged where they happen; only a store in use by another process is handled here.
  const onError = (error: unknown) => {
    if (!(error instanceof StoreUnavailableError) || error instanceof StoreInUseError) logFault(log, error);
  };
  const { sessions, token } = openDataDir(config);
  const storeWatch = new StoreWatch();
  const store = storeWatch.over(
    openStore(config, { onProblem: (message) => log.error(message), onMended: (message) => log.warn(message) }),
  );
  const redis = config.redisUrl === null ? null : await connectRedis(config.redisUrl, onError);
  const runs = new RunRegistry(store, { ...config, onError }, redis ? new RedisCluster(redis, onError) : singleHub);
  let url = '';
  const supervisor = new TrainerSupervisor(runs, {
    ...config,
    token,
    hubUrl: () => config.trainerHubUrl ?? url,
    onError,
  });
  const reads = readQueues(() => process.memoryUsage.rss() < config.memory.crowdedBytes);
  const metrics = new HubMetrics(runs, storeWatch);
  if (isShared(store)) metrics.followSpool(() => store.spoolState());
  const callers = new Callers(sessions, token, config.trustedProxies);
  const unknown = new UnknownConnections();
  const app = createApp({
    ...{
      runs,
      supervisor,
      sessions,
      token,
      guard: config,
      webDir: config.webDir,
      callers,
      onKnown: unknown.isKnown,
      watch: config.watch,
      dataDir: config.dataDir,
      log,
      onError,
      reads,
      maxSeriesWindows: maxSeriesWindows(config.memory.answerBytes),
    },
    readiness: () => readiness(runs, storeWatch),
    metrics: metrics.registry,
  });
  const server = createHttpServer(app);
  unknown.follow(server);
  const connections = openConnections(server);
  const livePublishing = new PublishWatch();
  const live = config.redisUrl === null ? null : await connectForAdapter(config.redisUrl, livePublishing);
  const door = new FrontDoor(callers, config, unknown.isKnown);
  const sockets = createSocketServer(server, { door, silenceMs: config.trainerSilenceMs, redis: live });
  // Before Socket.IO is attached too.
  new RequestTurns(server);
  serveTrainers(sockets.trainers, { runs, token, door, silenceMs: config.trainerSilenceMs, onError });
  const feed = serveDashboards(sockets.dashboards, { runs, sessions, door, watch: config.watch, onError });
  if (live) {
    feed.watchOverOtherHubs();
    metrics.followPublishing(livePublishing);
    logPublishing(log, livePublishing);
  }
  metrics.follow(feed);
  logEvents(log, runs, feed, storeWatch, door);

  let storeProblem: string | null;
  try {
    storeProblem = await runs.load().then(
      () => null,
      (error: unknown) => {
        if (error instanceof StoreInUseError) throw inUse(error, config.dataDir);
        onError(error);
        return error instanceof Error ? error.message : String(error);
      },
    );
    await new Promise<void>((resolve, reject) => {
      server.once('error', (error: NodeJS.ErrnoException) => reject(listenError(error, config)));
      server.listen(config.port, config.host, resolve);
    });
  } catch (error) {
    // Closes everything that keeps the process alive, so that it ends by itself.
    await feed.close();
    await sockets.io.close();
    live?.destroy();
    runs.close();
    await store.close();
    throw error;
  }
  const { port } = server.address() as AddressInfo;
  url = `http://${reachableHost(config.host)}:${port}`;
  runs.awaitTrainers();
  // For other processes such as `plumbline link`, `export` and `backup`.
  writeHubAddress(config.dataDir, url);
  log.info({ url, dataDir: config.dataDir }, 'hub started');
  if (config.watch === 'open' && !isLoopback(config.host))
    log.warn(
      { host: config.host },
      'Everybody who reaches this address can watch and export all runs. PLUMBLINE_WATCH=session requires a link.',
    );

  return {
    url,
    runs,
    supervisor,
    sessions,
    storeProblem,
    close: async () => {
      await shutDown({ runs, supervisor, feed, sockets, server, connections, log }, config.shutdownLimitMs);
      live?.destroy();
      removeHubAddress(config.dataDir);
    },
  };
}

function openDataDir({ dataDir, accessDir }: HubConfig): { sessions: Sessions; token: string } {
  try {
    mkdirSync(dataDir, { recursive: true, mode: 0o700 });
    accessSync(dataDir, constants.W_OK);
    const folder = accessDir ?? dataDir;
    return { sessions: new Sessions(folder), token: trainerToken(folder) };
  } catch (error) {
    const cause = error instanceof Error ? error.message : String(error);
    throw new Error(
      `The data folder ${dataDir} cannot be used (${cause}). Make it writable, or choose another with --data-dir.`,
      { cause: error },
    );
  }
}

/** Error for a data folder in use, naming the running hub if it left its address. */
function inUse(error: StoreInUseError, dataDir: string): Error {
  const url = hubUrl(dataDir);
  if (url === null) return error;
  return new Error(
    `A hub runs on ${dataDir} already, at ${url}; ${linkCommand(dataDir)} prints a link to control runs there. ` +
      'For a second hub choose another --data-dir.',
    { cause: error },
  );
}

function listenError(error: NodeJS.ErrnoException, { host, port }: HubConfig): Error {
  if (error.code === 'EADDRINUSE')
    return new Error(
      `Port ${port} of ${host} is in use. Stop what uses it, or choose another: npm start -- --port ${port + 1}`,
    );
  if (error.code === 'EACCES')
    return new Error(`Port ${port} needs more rights. Choose one above 1023: npm start -- --port 4517`);
  if (error.code === 'EADDRNOTAVAIL' || error.code === 'ENOTFOUND')
    return new Error(`This machine has no address "${host}". --host takes one of its own, 127.0.0.1 or 0.0.0.0.`);
  return error;
}

/** Whether the address is reachable from this machine only. */
function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127\./.test(host);
}

/** An address that a browser or a trainer on this machine can open. */
function reachableHost(host: string): string {
  if (host === '0.0.0.0' || host === '::') return '127.0.0.1';
  return isIPv6(host) ? `[${host}]` : host;
}
