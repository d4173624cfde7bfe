import { accessSync, constants, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { isIPv6 } from 'node:net';
import { join } from 'node:path';
import { pino } from 'pino';
import { Sessions } from './access/sessions.js';
import { trainerToken } from './access/trainer-token.js';
import type { HubConfig } from './config.js';
import { createApp } from './http/app.js';
import { RunService } from './run/run-service.js';
import { TrainerSupervisor } from './run/trainer-supervisor.js';
import { serveDashboards } from './socket/dashboard-handler.js';
import { createSocketServer } from './socket/socket-server.js';
import { serveTrainers } from './socket/trainer-handler.js';
import { EmbeddedStore } from './store/embedded-store.js';
import { StoreInUseError } from './store/event-store.js';

/** How long built-in trainers have to save and say their last word when the hub is stopped. */
const trainerStopMs = 10_000;

export interface Hub {
  /** e.g. `http://127.0.0.1:4517` */
  url: string;
  runs: RunService;
  supervisor: TrainerSupervisor;
  sessions: Sessions;
  /** Set when the store could not be opened at the start; the hub stays up and tries again at every request. */
  storeProblem: string | null;
  /** Stops built-in trainers (they save first), lets go of clients, closes the store. */
  close(): Promise<void>;
}

/**
 * Builds the hub, and is the only place that does.
 * @throws Error when the port is taken or the data folder cannot be written, saying what to do
 */
export async function startHub(config: HubConfig): Promise<Hub> {
  const log = pino({ level: config.logLevel }, pino.destination(2));
  const onError = (error: unknown) => log.error(error);
  const addressFile = join(config.dataDir, 'hub.json');
  const { sessions, token } = openDataDir(config.dataDir);
  const store = new EmbeddedStore(join(config.dataDir, 'plumbline.duckdb'));
  const runs = new RunService(store, { ...config, onError });
  let url = '';
  const supervisor = new TrainerSupervisor(runs, { ...config, token, hubUrl: () => url, onError });
  const app = createApp({ runs, supervisor, sessions, guard: config, webDir: config.webDir, onError });
  const server = createServer(app);
  const sockets = createSocketServer(server, config);
  serveTrainers(sockets.trainers, runs, token, onError);
  const feed = serveDashboards(sockets.dashboards, runs, sessions, onError);

  const storeProblem = await runs.load().then(
    () => null,
    (error: unknown) => {
      if (error instanceof StoreInUseError) throw error;
      onError(error);
      return error instanceof Error ? error.message : String(error);
    },
  );
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', (error: NodeJS.ErrnoException) => reject(listenError(error, config)));
      server.listen(config.port, config.host, resolve);
    });
  } catch (error) {
    runs.close();
    await store.close();
    throw error;
  }
  const { port } = server.address() as AddressInfo;
  url = `http://${reachableHost(config.host)}:${port}`;
  // For `plumbline link`, which is another process.
  writeFileSync(addressFile, JSON.stringify({ url, processId: process.pid }));

  return {
    url,
    runs,
    supervisor,
    sessions,
    storeProblem,
    close: async () => {
      await supervisor.stopAll(trainerStopMs);
      feed.close();
      // Also closes the HTTP server; connections that are kept alive would hold it open.
      const closed = sockets.io.close();
      server.closeAllConnections();
      await closed;
      runs.close();
      await store.close();
      rmSync(addressFile, { force: true });
    },
  };
}

function openDataDir(dataDir: string): { sessions: Sessions; token: string } {
  try {
    mkdirSync(dataDir, { recursive: true, mode: 0o700 });
    accessSync(dataDir, constants.W_OK);
    return { sessions: new Sessions(dataDir), token: trainerToken(dataDir) };
  } catch (error) {
    const cause = error instanceof Error ? error.message : String(error);
    throw new Error(
      `The data folder ${dataDir} cannot be used (${cause}). Make it writable, or choose another with --data-dir.`,
      { cause: error },
    );
  }
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

/** An address that a browser or a trainer on this machine can open. */
function reachableHost(host: string): string {
  if (host === '0.0.0.0' || host === '::') return '127.0.0.1';
  return isIPv6(host) ? `[${host}]` : host;
}
