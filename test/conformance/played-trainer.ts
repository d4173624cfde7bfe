import { randomBytes, randomUUID } from 'node:crypto';
import { io, type Socket } from 'socket.io-client';
import WebSocket from 'ws';
import { until } from './cases.js';

/** Any message: deliberately wrong ones have no type. */
export type Message = Record<string, unknown>;
/** An acknowledgement of a hub. */
export interface Answer {
  ok: boolean;
  lastSeq?: number;
  nextSeries?: number;
  problems?: { seq: number; series: string | number | null; problem: string }[];
  error?: { code: string; message: string; retry?: boolean };
}

/** The hub under test. */
export interface HubUnderTest {
  url: string;
  token: string;
  /** Kills the hub and restarts it on its data, if possible. */
  killAndRestart?: () => Promise<void>;
  /** Called with each run that the hub takes. */
  took?: (runId: string) => void;
}

const answerMs = 20_000;

/** A scripted trainer of one run, which may have several connections. */
export class PlayedTrainer {
  readonly runId: string;
  readonly secret = randomBytes(24).toString('base64url');
  /** Received commands, including repeats. */
  readonly commands: { commandId: string; action: { kind: string } }[] = [];
  #sockets: Socket[] = [];

  constructor(readonly hub: HubUnderTest) {
    this.runId = `conformance-${randomUUID().slice(0, 8)}`;
  }

  /** @returns the connection, or the code of the hub's refusal */
  async connect(auth: Message = {}): Promise<Socket | string> {
    const socket = io(`${this.hub.url}/trainer`, {
      auth: { token: this.hub.token, protocol: 2, ...auth },
      extraHeaders: { authorization: `Bearer ${this.hub.token}` },
      ...{ forceNew: true, transports: ['websocket'], reconnection: false },
    });
    this.#sockets.push(socket);
    socket.on('command', (command: PlayedTrainer['commands'][number], ack: (answer: { ok: true }) => void) => {
      this.commands.push(command);
      ack({ ok: true });
    });
    return new Promise((resolve, reject) => {
      setTimeout(() => reject(new Error('The hub does not answer a connection.')), answerMs).unref();
      socket.once('connect', () => resolve(socket));
      socket.once('connect_error', (error: Error & { data?: { code: string } }) =>
        error.data ? resolve(error.data.code) : reject(error),
      );
    });
  }

  attachment(changes: Message = {}): Message {
    const run = { name: 'Conformance' };
    return { runId: this.runId, run, parent: null, secret: this.secret, acknowledgedSeq: 0, ...changes };
  }

  async ask(socket: Socket, message: 'attach' | 'events' | 'busy', body: unknown): Promise<Answer> {
    const answer = (await socket.timeout(answerMs).emitWithAck(message, body)) as Answer;
    if (message === 'attach' && answer.ok) this.hub.took?.((body as { runId: string }).runId);
    return answer;
  }

  /** Opens a connection and attaches the run. */
  async attached(changes: Message = {}): Promise<Socket> {
    const socket = await this.connect();
    if (typeof socket === 'string') throw new Error(`The hub refused the connection: ${socket}.`);
    const answer = await this.ask(socket, 'attach', this.attachment(changes));
    if (!answer.ok) throw new Error(`The hub refused the run: ${answer.error?.message}`);
    return socket;
  }

  /** Opens a connection, attaches the run and starts it with one series, `train/loss`, with number 0. */
  async started(changes: Message = {}): Promise<Socket> {
    const socket = await this.attached(changes);
    const answer = await this.send(socket, [runStarted()]);
    if (!answer.ok) throw new Error(`The hub refused run_started: ${answer.error?.message}`);
    return socket;
  }

  send(socket: Socket, events: readonly Message[]): Promise<Answer> {
    return this.ask(socket, 'events', { events });
  }

  /** Sends a batch as JSON text that JavaScript cannot write, such as Python's bare NaN. */
  async sendText(events: string): Promise<Answer> {
    const socket = new WebSocket(`${this.hub.url.replace(/^http/, 'ws')}/socket.io/?EIO=4&transport=websocket`, {
      headers: { authorization: `Bearer ${this.hub.token}` },
    });
    const heard: string[] = [];
    socket.on('message', (data: Buffer) => {
      const text = data.toString();
      if (text === '2') socket.send('3');
      else heard.push(text);
    });
    const next = (start: string): Promise<string> =>
      until(`the hub's ${start}`, () => heard.find((text) => text.startsWith(start)));
    try {
      await next('0');
      socket.send(`40/trainer,${JSON.stringify({ token: this.hub.token, protocol: 2 })}`);
      await next('40/trainer');
      socket.send(`42/trainer,1["attach",${JSON.stringify(this.attachment())}]`);
      await next('43/trainer,1');
      this.hub.took?.(this.runId);
      socket.send(`42/trainer,2["events",{"events":[${events}]}]`);
      const [answer] = JSON.parse((await next('43/trainer,2')).slice('43/trainer,2'.length)) as [Answer];
      return answer;
    } finally {
      socket.terminate();
    }
  }

  /** Gives a command over REST. @returns its record */
  async command(action: Message, { commandId = randomUUID() as string, waitMs = 0 } = {}): Promise<CommandLine> {
    const body = JSON.stringify({ commandId, action });
    const answer = await this.#request('POST', `commands?waitMs=${waitMs}`, body);
    return ((await answer.json()) as { command: CommandLine }).command;
  }

  async commandLine(commandId: string, waitMs = 10_000): Promise<CommandLine> {
    return (
      (await (await this.#request('GET', `commands/${commandId}?waitMs=${waitMs}`)).json()) as {
        command: CommandLine;
      }
    ).command;
  }

  /** The stored events of the run, from the hub's export. */
  async stored(): Promise<Message[]> {
    const text = await (await this.#request('GET', 'export?format=jsonl')).text();
    const lines = text
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Message);
    return lines.filter((line) => 'seq' in line && 'type' in line);
  }

  /** The served token shifts or examples. @param path `token-shifts` or `examples`, with a query */
  async largeEvents(path: string): Promise<Message[]> {
    return ((await (await this.#request('GET', path)).json()) as { events: Message[] }).events;
  }

  async #request(method: string, path: string, body?: string): Promise<Response> {
    const answer = await fetch(`${this.hub.url}/api/runs/${this.runId}/${path}`, {
      ...{ method, ...(body !== undefined && { body }), signal: AbortSignal.timeout(answerMs + 10_000) },
      headers: { authorization: `Bearer ${this.hub.token}`, 'content-type': 'application/json' },
    });
    if (!answer.ok) throw new Error(`${method} ${path} is answered ${answer.status}: ${await answer.text()}`);
    return answer;
  }

  close(): void {
    for (const socket of this.#sockets) socket.disconnect();
    this.#sockets = [];
  }
}

export interface CommandLine {
  commandId: string;
  state: string;
  reason: string;
}

const now = (): number => Date.now();
export const runStarted = (seq = 1, changes: Message = {}): Message => ({
  ...{ seq, type: 'run_started', step: 0, wallTimeMs: now() },
  trainer: { backend: 'conformance', device: '', host: 'here', processId: process.pid, version: '1' },
  model: { name: 'none', groups: [], parameters: [], recipes: [] },
  ...{ baseline: {}, selection: { kind: 'groups', groups: [] }, trainable: [] },
  series: [{ number: 0, name: 'train/loss' }],
  ...changes,
});
export const step = (seq: number, changes: Message = {}): Message => ({
  ...{ seq, type: 'step_completed', step: seq, wallTimeMs: now(), stage: 0, series: [0], values: [1 / seq] },
  ...changes,
});
export const steps = (from: number, to: number): Message[] =>
  Array.from({ length: to - from + 1 }, (_, i) => step(from + i));
export const control = (seq: number, type: string, changes: Message = {}): Message => ({
  ...{ seq, type, step: seq, wallTimeMs: now() },
  ...changes,
});
