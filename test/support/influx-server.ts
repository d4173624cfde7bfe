import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { fileURLToPath } from 'node:url';
import { freePort } from './hub-process.js';

/** From the sources or their build. */
const buildScript = fileURLToPath(
  import.meta.url.replace(/test\/(dist\/)?support\/[^/]+$/, 'deploy/influxdb/build.sh'),
);

/** The path of a real influxd 2.7: from PATH, or built from source once per machine. */
export async function influxd(): Promise<string> {
  const run = promisify(execFile);
  const installed = await run('which', ['influxd']).catch(() => null);
  if (installed) return installed.stdout.trim();
  return (await run('bash', [buildScript], { maxBuffer: 64 << 20 })).stdout.trim();
}

/** A real InfluxDB server with its own folder that can be killed and restarted. */
export class InfluxServer {
  #process: ChildProcess | null = null;
  #buckets = 0;
  readonly org = 'plumbline';
  readonly token = 'operator-token-of-the-tests';
  #orgId = '';

  private constructor(
    readonly program: string,
    readonly folder: string,
    readonly port: number,
  ) {}

  /** A server that nobody has set up. */
  static async startFresh(): Promise<InfluxServer> {
    const folder = await mkdtemp(join(tmpdir(), 'plumbline-influx-'));
    const server = new InfluxServer(await influxd(), folder, await freePort());
    await server.launch();
    return server;
  }

  static async start(): Promise<InfluxServer> {
    const server = await InfluxServer.startFresh();
    const body = {
      username: 'tests',
      password: 'tests-of-plumbline',
      org: server.org,
      bucket: 'first',
      token: server.token,
    };
    const { org } = (await server.request('POST', '/api/v2/setup', body)) as { org: { id: string } };
    server.#orgId = org.id;
    return server;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }
  get processId(): number | undefined {
    return this.#process?.pid;
  }

  /** Starts the server, also after `kill`, and waits until it answers. */
  async launch(): Promise<void> {
    const args = ['--bolt-path', join(this.folder, 'bolt'), '--engine-path', join(this.folder, 'engine')];
    args.push('--sqlite-path', join(this.folder, 'sqlite'), '--http-bind-address', `127.0.0.1:${this.port}`);
    const child = spawn(this.program, [...args, '--reporting-disabled', '--log-level', 'error'], { stdio: 'ignore' });
    this.#process = child;
    for (let attempt = 0; attempt < 600; attempt++) {
      if (child.exitCode !== null) throw new Error(`influxd ended with code ${child.exitCode}.`);
      if (
        await fetch(`${this.url}/health`).then(
          ({ ok }) => ok,
          () => false,
        )
      )
        return;
      await sleep(50);
    }
    throw new Error('influxd did not answer within 30 s.');
  }

  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    const child = this.#process;
    if (!child || child.exitCode !== null) return;
    const gone = new Promise((resolve) => child.once('exit', resolve));
    child.kill(signal);
    await gone;
    this.#process = null;
  }

  /** A new, empty bucket. */
  async bucket(): Promise<string> {
    const name = `bucket-${++this.#buckets}`;
    await this.request('POST', '/api/v2/buckets', { name, orgID: this.#orgId, retentionRules: [] });
    return name;
  }

  async request(method: string, path: string, body?: unknown): Promise<unknown> {
    const response = await fetch(this.url + path, {
      method,
      headers: { authorization: `Token ${this.token}`, 'content-type': 'application/json' },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
    return response.json();
  }

  /** The rows that Flux answers, as CSV without annotations. */
  async query(flux: string): Promise<string> {
    const response = await fetch(`${this.url}/api/v2/query?org=${this.org}`, {
      method: 'POST',
      headers: { authorization: `Token ${this.token}`, 'content-type': 'application/vnd.flux' },
      body: flux,
    });
    if (!response.ok) throw new Error(`Flux: ${response.status} ${await response.text()}`);
    return response.text();
  }

  async remove(): Promise<void> {
    await this.kill();
    await rm(this.folder, { recursive: true, force: true });
  }
}
