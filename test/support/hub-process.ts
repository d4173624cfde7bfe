import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The repository's folder, from the sources or their build. */
const root = fileURLToPath(import.meta.url.replace(/test\/(dist\/)?support\/[^/]+$/, ''));

/** A currently free port. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, 'close');
  return port;
}

/** The real hub in its own process, which a test can kill. */
export class HubProcess {
  #child: ChildProcess | undefined;
  #output = '';
  /** One-time token of the link that the last start printed. */
  token = '';

  private constructor(
    readonly port: number,
    readonly dataDir: string,
    private readonly prepare: boolean,
    private readonly env: NodeJS.ProcessEnv,
  ) {}

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }
  /** The token of trainers. */
  get trainerToken(): string {
    return readFileSync(join(this.dataDir, 'trainer-token'), 'utf8').trim();
  }
  get output(): string {
    return this.#output;
  }
  get isRunning(): boolean {
    return this.#child !== undefined && this.#child.exitCode === null && this.#child.signalCode === null;
  }
  get processId(): number {
    if (!this.#child?.pid) throw new Error('The hub is not running.');
    return this.#child.pid;
  }

  /**
   * @param prepare first build the dashboard and the native backend if they are stale, like `npm start`
   * @param dataDir an existing folder; by default a new one
   * @param env further settings of the hub
   */
  static async start({ prepare = false, dataDir = '', env = {} as NodeJS.ProcessEnv } = {}): Promise<HubProcess> {
    const folder = dataDir || (await mkdtemp(join(tmpdir(), 'plumbline-test-')));
    const hub = new HubProcess(await freePort(), folder, prepare, env);
    await hub.start();
    return hub;
  }

  /** Starts it on the same port and data folder; resolves once it has printed its link. */
  async start(): Promise<void> {
    this.#output = '';
    const child = spawn(
      process.execPath,
      [
        ...['server/dist/cli.js', 'start', '--port', String(this.port), '--data-dir', this.dataDir],
        ...(this.prepare ? [] : ['--no-prepare']),
      ],
      { cwd: root, env: { ...process.env, ...this.env }, stdio: ['ignore', 'pipe', 'pipe'] },
    );
    this.#child = child;
    this.token = await new Promise<string>((resolve, reject) => {
      const read = (chunk: Buffer): void => {
        this.#output += chunk.toString();
        const link = /\?token=([\w-]+)/.exec(this.#output);
        if (link) resolve(link[1]!);
      };
      child.stdout.on('data', read);
      child.stderr.on('data', read);
      child.once('exit', (code, signal) => reject(new Error(`The hub ended (${code ?? signal}):\n${this.#output}`)));
    });
  }

  /** Stops reading its output. */
  deafen(): void {
    this.#child?.stdout?.destroy();
    this.#child?.stderr?.destroy();
  }

  /** kill -9: nothing is flushed or sent. */
  async kill(): Promise<void> {
    await this.#end('SIGKILL');
  }

  /**
   * Like Ctrl-C: built-in trainers stop and their last events are stored.
   * @returns the exit code; `null` if it was not running
   */
  async stop(): Promise<number | null> {
    return this.#end('SIGTERM');
  }

  /** Stops it and removes its data. */
  async remove(): Promise<void> {
    await this.stop();
    await rm(this.dataDir, { recursive: true, force: true });
  }

  async #end(signal: NodeJS.Signals): Promise<number | null> {
    const child = this.#child;
    if (!child || !this.isRunning) return null;
    const exited = once(child, 'exit');
    child.kill(signal);
    const [code] = (await exited) as [number | null];
    return code;
  }

  /** The log of a run's trainer, for a failed test's message. */
  async trainerLog(runId: string): Promise<string> {
    return readFile(join(this.dataDir, 'runs', runId, 'trainer.log'), 'utf8');
  }
}
