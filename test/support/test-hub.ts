import { randomUUID } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { io, type Socket } from 'socket.io-client';
import { builtInDeclaration } from '@plumbline/shared/built-in/series';
import { CommandId, type AskedAction, type AskedCommand, type CommandRecord } from '@plumbline/shared/command';
import type { WireNumber } from '@plumbline/shared/metric';
import { recordOf } from '@plumbline/shared/record';
import { RunId, type RunSummary } from '@plumbline/shared/run';
import { describeRun } from '@plumbline/shared/built-in/described-run';
import { RunConfig } from '@plumbline/shared/built-in/run-config';
import {
  protocolVersion,
  type Attach,
  type DashboardToHub,
  type HubToDashboard,
  type HubToTrainer,
  type TrainerToHub,
} from '@plumbline/shared/socket';
import type { ControlEvent, TrainerEvent } from '@plumbline/shared/trainer-event';
import { isWireMetricEvent, type WireEvent, type WireMetricEvent } from '@plumbline/shared/wire-event';
import { readConfig, type HubConfig } from '../../server/config.js';
import { startHub, type Hub } from '../../server/main.js';
import { createLog } from '../../server/operations/hub-log.js';
import type { TrainerLink } from '../../server/run/liveness.js';
import { eventually } from './eventually.js';
import { oddNames } from './odd-names.js';

export { eventually };

export type TrainerEnd = Socket<HubToTrainer, TrainerToHub>;
export type LogLine = Record<string, unknown> & { level: number; msg: string };
export type DashboardEnd = Socket<HubToDashboard, DashboardToHub>;

/** The connection of a trainer that takes everything and answers nothing. A connection is told apart by identity. */
export const silentLink = (): TrainerLink => ({ send: () => Promise.resolve(), close: () => undefined });

/** The real hub in this process, with a free port, its own folder and client sockets. */
export class TestHub {
  #sockets: Socket[] = [];
  private constructor(
    public hub: Hub,
    readonly config: HubConfig,
    readonly log: Logger,
    readonly logged: LogLine[],
  ) {}

  /** @param overrides with a `logLevel`, `logged` has the hub's log */
  static async start(overrides: Partial<HubConfig> = {}): Promise<TestHub> {
    const dataDir = mkdtempSync(join(tmpdir(), 'plumbline-hub-'));
    const config = { ...readConfig(), port: 0, dataDir, logLevel: 'silent' as const, ...overrides };
    const logged: LogLine[] = [];
    const log = createLog(config.logLevel, { write: (line) => void logged.push(JSON.parse(line) as LogLine) });
    return new TestHub(await startHub(config, log), config, log, logged);
  }

  get url(): string {
    return this.hub.url;
  }
  get token(): string {
    return readFileSync(join(this.config.dataDir, 'trainer-token'), 'utf8');
  }

  /** Closes the hub and starts a new one on its data. */
  async restart(): Promise<void> {
    this.#letGo();
    await this.hub.close();
    await this.open();
  }

  /** Starts a hub on the data of the closed one. */
  async open(): Promise<void> {
    this.hub = await startHub(this.config, this.log);
  }

  async remove(): Promise<void> {
    this.#letGo();
    await this.hub.close();
    rmSync(this.config.dataDir, { recursive: true, force: true });
  }

  trainer(auth: Record<string, unknown> = { token: this.token, protocol: protocolVersion }): TrainerEnd {
    return this.#keep(io(`${this.url}/trainer`, { auth, forceNew: true, transports: ['websocket'] }));
  }

  /** A trainer that has attached a run. */
  async attached(runId: RunId): Promise<TrainerEnd> {
    const trainer = this.trainer();
    const answer = await trainer.emitWithAck('attach', attachment(runId));
    if (!answer.ok) throw new Error(answer.error.message);
    return trainer;
  }

  /** A session cookie with control rights. */
  async cookie(): Promise<string> {
    const response = await this.request('POST', '/session', { token: this.hub.sessions.createLink() });
    return response.headers.getSetCookie()[0]!.split(';')[0]!;
  }

  dashboard(cookie?: string): DashboardEnd {
    const extraHeaders = cookie ? { cookie } : {};
    return this.#keep(io(`${this.url}/dashboard`, { extraHeaders, forceNew: true, transports: ['websocket'] }));
  }

  request(method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<Response> {
    return fetch(`${this.url}/api${path}`, {
      method,
      headers: { ...(body !== undefined && { 'content-type': 'application/json' }), ...headers },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
  }

  /** The JSON answer of a path below `/api`. */
  async get<T>(path: string): Promise<T> {
    return (await this.request('GET', path)).json() as Promise<T>;
  }

  /** Waits until the condition holds for a run. */
  async until(runId: RunId, holds: (run: RunSummary) => boolean): Promise<RunSummary> {
    return await eventually(async () => {
      const run = await this.hub.runs.get(runId);
      return holds(run) ? run : null;
    });
  }

  async record(commandId: CommandId): Promise<CommandRecord> {
    return (await this.hub.runs.findCommand(commandId))!;
  }

  #keep<S extends Socket>(socket: S): S {
    this.#sockets.push(socket as unknown as Socket);
    return socket;
  }
  #letGo(): void {
    for (const socket of this.#sockets) socket.disconnect();
    this.#sockets = [];
  }
}

export const aRunId = (): RunId => RunId.parse(`run-${randomUUID().slice(0, 8)}`);
export const attachment = (runId: RunId, config: Partial<RunConfig> = {}): Attach => ({
  runId,
  run: describeRun(RunConfig.parse({ name: 'test', ...config })),
  parent: null,
  acknowledgedSeq: 0,
  newSegment: false,
});
export const aCommand = (runId: RunId, action: AskedAction): AskedCommand => ({
  commandId: CommandId.parse(randomUUID()),
  runId,
  action,
});
/** Base wall time of test events, in ms; an event adds its step. */
export const testTimeMs = 1_700_000_000_000;
/** The series that `started` declares, by number. */
const declared: readonly string[] = [
  ...['train/loss', 'train/learning_rate', 'train/gradient_norm', 'shift/kl', 'shift/js', 'the/last', 'a/b', 'b/c'],
  ...['held_out/mean/accuracy', 'target/counting/accuracy', 'bias/number_tokens/held_out', 'energy/joules'],
  ...['held_out/colour/accuracy', 'probe/duration_ms', 'run/loss', ...oddNames],
];
/**
 * Converts values by name into wire columns.
 * @param names of the series, by number; by default those that `started` declares
 */
export const columnsOf = (
  metrics: Readonly<Record<string, WireNumber>>,
  names = declared,
): Pick<WireMetricEvent, 'series' | 'values'> => {
  const numbers = new Map(names.map((name, number) => [name, number]));
  const numberOf = (name: string): number => {
    const number = numbers.get(name);
    if (number === undefined) throw new Error(`Tests declare no series ${name}: add it to those in test-hub.ts.`);
    return number;
  };
  return { series: Object.keys(metrics).map(numberOf), values: Object.values(metrics) };
};
/** A `run_started` event that declares the series of the tests, or the given ones. */
export const started = (seq = 1, names = declared): Extract<ControlEvent, { type: 'run_started' }> => ({
  type: 'run_started',
  seq,
  step: 0,
  wallTimeMs: testTimeMs,
  trainer: { backend: 'test', device: '', host: 'here', processId: 1, version: '1' },
  model: { name: 'none', groups: [], parameters: [], recipes: [] },
  baseline: {},
  selection: { kind: 'recipe', recipe: 'full' },
  trainable: [],
  series: names.map((name, number) => ({ number, ...builtInDeclaration(name) })),
});
export const stepped = (
  seq: number,
  metrics: Record<string, WireNumber> = { 'train/loss': seq },
  names = declared,
): WireMetricEvent => ({
  type: 'step_completed',
  seq,
  step: seq,
  stage: 0,
  wallTimeMs: testTimeMs + seq,
  ...columnsOf(metrics, names),
});
/** A wire event of the tests in its stored form. */
export function asStored(event: WireEvent): TrainerEvent {
  if (!isWireMetricEvent(event)) return event;
  const { series, values, ...rest } = event;
  return { ...rest, metrics: recordOf(series.map((number, i) => [declared[number]!, values[i]!])) };
}
export const finished = (seq: number): ControlEvent => ({
  type: 'run_finished',
  seq,
  step: seq,
  wallTimeMs: testTimeMs + 9000,
});
