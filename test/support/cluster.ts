import { spawn, type ChildProcess } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { FaultyProxy } from './faulty-proxy.js';
import { freePort, HubProcess } from './hub-process.js';
import { InfluxServer } from './influx-server.js';

const nginxConf = new URL(
  import.meta.url.includes('/test/dist/')
    ? '../../../deploy/nginx/plumbline.conf'
    : '../../deploy/nginx/plumbline.conf',
  import.meta.url,
);

/** A server program that a test can kill and restart. */
export class ServerProcess {
  #child: ChildProcess | null = null;
  constructor(
    readonly program: string,
    readonly args: string[],
    readonly port: number,
  ) {}

  get processId(): number | undefined {
    return this.#child?.pid;
  }

  async start(): Promise<void> {
    const child = spawn(this.program, this.args, { stdio: ['ignore', 'ignore', 'pipe'] });
    this.#child = child;
    let errors = '';
    child.stderr.on('data', (chunk: Buffer) => (errors = (errors + chunk.toString()).slice(-2000)));
    child.on('error', (error) => (errors += error.message));
    for (let attempt = 0; attempt < 400; attempt++) {
      if (child.exitCode !== null) break;
      if (await answers(this.port)) return;
      await sleep(25);
    }
    throw new Error(`${this.program} does not answer on port ${this.port}: ${errors}`);
  }

  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    const child = this.#child;
    this.#child = null;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise((resolve) => child.once('exit', resolve));
    child.kill(signal);
    await gone;
  }
}

/** Two hubs behind nginx on one Redis and one InfluxDB, like docker-compose.yml but without Docker. */
export class Cluster {
  private constructor(
    readonly folder: string,
    readonly influx: InfluxServer,
    readonly redis: ServerProcess,
    readonly nginx: ServerProcess,
    readonly hubs: readonly HubProcess[],
    readonly bucket: string,
    /** Proxies in front of InfluxDB, one for each hub, if requested. */
    readonly storeProxies: readonly FaultyProxy[],
  ) {}

  /**
   * @param env further settings of the hubs
   * @param ofHub settings of one hub, by its number from 0 and the cluster's folder
   * @param storeProxies puts a breakable network between each hub and InfluxDB
   */
  static async start(
    env: NodeJS.ProcessEnv = {},
    {
      ofHub = (): NodeJS.ProcessEnv => ({}),
      storeProxies = false,
    }: { ofHub?: (hub: number, folder: string) => NodeJS.ProcessEnv; storeProxies?: boolean } = {},
  ): Promise<Cluster> {
    const folder = await mkdtemp(join(tmpdir(), 'plumbline-cluster-'));
    const influx = await InfluxServer.start();
    const redisPort = await freePort();
    const redisArgs = ['--port', String(redisPort), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no'];
    const redis = new ServerProcess('redis-server', [...redisArgs, '--dir', folder], redisPort);
    await redis.start();
    const proxyPort = await freePort();
    const bucket = await influx.bucket();
    const shared = {
      PLUMBLINE_STORE: 'influx',
      PLUMBLINE_INFLUX_URL: influx.url,
      PLUMBLINE_INFLUX_ORG: influx.org,
      PLUMBLINE_INFLUX_BUCKET: bucket,
      PLUMBLINE_INFLUX_TOKEN: influx.token,
      PLUMBLINE_REDIS_URL: `redis://127.0.0.1:${redisPort}`,
      PLUMBLINE_ACCESS_DIR: join(folder, 'access'),
      PLUMBLINE_TRAINER_HUB_URL: `http://127.0.0.1:${proxyPort}`,
      PLUMBLINE_TRUSTED_PROXIES: '1',
      PLUMBLINE_LOG_LEVEL: 'warn',
    };
    await mkdir(shared.PLUMBLINE_ACCESS_DIR);
    const hubs: HubProcess[] = [];
    const proxies: FaultyProxy[] = [];
    for (const number of [0, 1]) {
      const proxy = storeProxies ? await FaultyProxy.start(influx.port) : null;
      if (proxy) proxies.push(proxy);
      const own = { ...(proxy && { PLUMBLINE_INFLUX_URL: proxy.url }), ...ofHub(number, folder) };
      const dataDir = join(folder, `hub${number + 1}`);
      hubs.push(await HubProcess.start({ dataDir, env: { ...shared, ...env, ...own } }));
    }
    const nginx = new ServerProcess('nginx', await nginxArgs(folder, proxyPort, hubs), proxyPort);
    await nginx.start();
    return new Cluster(folder, influx, redis, nginx, hubs, bucket, proxies);
  }

  /** The address in front of the hubs. */
  get url(): string {
    return `http://127.0.0.1:${this.nginx.port}`;
  }
  trainerToken(): Promise<string> {
    return readFile(join(this.folder, 'access', 'trainer-token'), 'utf8');
  }

  async remove(): Promise<void> {
    await this.nginx.kill('SIGTERM');
    for (const hub of this.hubs) await hub.stop();
    await this.redis.kill();
    for (const proxy of this.storeProxies) await proxy.close();
    await this.influx.remove();
    await rm(this.folder, { recursive: true, force: true });
  }
}

/** The deployed configuration, with this machine's ports and folders. */
async function nginxArgs(folder: string, port: number, hubs: readonly HubProcess[]): Promise<string[]> {
  let conf = await readFile(nginxConf, 'utf8');
  conf = conf.replace('listen 8080', `listen 127.0.0.1:${port}`);
  hubs.forEach((hub, i) => (conf = conf.replace(`hub${i + 1}:4517`, `127.0.0.1:${hub.port}`)));
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (of) => `${of}_temp_path ${folder}/${of};`,
  );
  const path = join(folder, 'nginx.conf');
  await writeFile(
    path,
    `daemon off; pid ${folder}/nginx.pid; error_log stderr warn; worker_processes 1; events {}
http { access_log off; ${temporary.join(' ')}\n${conf}\n}`,
  );
  return ['-c', path, '-p', folder, '-e', 'stderr'];
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1' });
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
