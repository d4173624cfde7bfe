import { request } from 'node:http';
import { createConnection, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { WebSocket } from 'ws';

/*
 * Clients that obey no rule but TCP's. None of them throws or waits for ever: a hub that refuses, closes, dies or stays
 * silent is an ordinary answer.
 */

/**
 * The default address of clients: an address of this machine that no honest client uses, so that limits by address do
 * not affect those. Each attack has another one.
 */
let address = 1;
const attackerAddress = (): string => `127.0.66.${address}`;
export const moveOn = (): void => void (address = 1 + (address % 250));
/** A client's timeout for an answer. */
const limitMs = 10_000;

/** An answer over HTTP. */
export interface HttpAnswer {
  /** 0 without an answer: refused, closed, or timed out. */
  status: number;
  body: string;
  headers: Readonly<Record<string, string | string[] | undefined>>;
}
const noAnswer = (body: string): HttpAnswer => ({ status: 0, body, headers: {} });

export interface HttpQuestion {
  method?: string;
  headers?: Record<string, string | string[]>;
  body?: string | Buffer;
  from?: string;
  timeoutMs?: number;
}

/** Sends one HTTP request; returns at most a megabyte of the body. */
export function ask(port: number, path: string, question: HttpQuestion = {}): Promise<HttpAnswer> {
  const { method = 'GET', headers = {}, body, from = attackerAddress(), timeoutMs = limitMs } = question;
  return new Promise((resolve) => {
    const give = (answer: HttpAnswer): void => {
      clearTimeout(timer);
      resolve(answer);
      if (answer.status === 0) sent.destroy();
    };
    const sent = request({ host: '127.0.0.1', port, path, method, headers, localAddress: from, agent: false });
    const timer = setTimeout(() => give(noAnswer('no answer in time')), timeoutMs);
    sent.on('error', (error) => give(noAnswer(error.message)));
    sent.on('response', (response) => {
      let text = '';
      response.on('data', (chunk: Buffer) => {
        if (text.length < 1_000_000) text += chunk.toString('latin1');
      });
      response.on('end', () => give({ status: response.statusCode!, body: text, headers: response.headers }));
      response.on('error', (error) => give(noAnswer(error.message)));
      response.on('close', () => give(noAnswer('the answer broke off')));
    });
    sent.end(body);
  });
}

/** A TCP connection and its received data. */
export class RawTcp {
  received = '';
  closed = false;
  readonly #socket: Socket;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', this.#take);
    socket.on('error', () => undefined);
    socket.on('close', () => (this.closed = true));
  }

  readonly #take = (chunk: Buffer): void => {
    if (this.received.length < 1_000_000) this.received += chunk.toString('latin1');
  };

  /** Connects; `closed` says whether it was refused. */
  static open(port: number, from = attackerAddress()): Promise<RawTcp> {
    return new Promise((resolve) => {
      const socket = createConnection({ port, host: '127.0.0.1', localAddress: from });
      const tcp = new RawTcp(socket);
      socket.once('connect', () => resolve(tcp));
      socket.once('close', () => resolve(tcp));
      setTimeout(() => resolve(tcp), limitMs).unref();
    });
  }

  write(bytes: string | Buffer): void {
    if (!this.closed) this.#socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes);
  }
  /** Stops reading from the connection. */
  stopReading(): void {
    this.#socket.pause();
  }
  /** Reads at most this much from now on, in one go each second. */
  readSlowly(bytesPerSecond: number): void {
    this.#socket.off('data', this.#take).pause();
    const timer = setInterval(() => {
      const chunk = this.#socket.read(bytesPerSecond) as Buffer | null;
      if (chunk) this.#take(chunk);
    }, 1000);
    this.#socket.once('close', () => clearInterval(timer));
  }
  end(): void {
    this.#socket.destroy();
  }
  /** Waits until the other end has closed. @returns whether it did */
  untilClosed(timeoutMs = limitMs): Promise<boolean> {
    return until(() => this.closed, timeoutMs);
  }
}

/** Opens a connection, writes, and returns the data received until the end, or until `quietMs` of silence. */
export async function tell(port: number, bytes: string | Buffer, quietMs = 500, from?: string): Promise<RawTcp> {
  const tcp = await RawTcp.open(port, from);
  tcp.write(bytes);
  for (let seen = -1; !tcp.closed && seen !== tcp.received.length;) {
    seen = tcp.received.length;
    await until(() => tcp.closed, quietMs);
  }
  tcp.end();
  return tcp;
}

/** @returns whether the condition became true in time */
export async function until(holds: () => boolean, timeoutMs: number): Promise<boolean> {
  const endMs = performance.now() + timeoutMs;
  while (!holds()) {
    if (performance.now() > endMs) return false;
    await sleep(5);
  }
  return true;
}

const enginePath = '/socket.io/?EIO=4&transport=polling';
/** Separates the packets of a payload. */
export const separator = '\x1e';

/** An Engine.IO connection by polling. */
export class Polling {
  private constructor(
    readonly port: number,
    readonly sid: string,
    readonly from: string,
  ) {}

  /** @returns the answer to the handshake if it was refused */
  static async open(port: number, from = attackerAddress()): Promise<Polling | HttpAnswer> {
    const answer = await ask(port, enginePath, { from });
    const sid = /"sid":"([^"]+)"/.exec(answer.body)?.[1];
    return answer.status === 200 && sid ? new Polling(port, sid, from) : answer;
  }

  post(body: string, timeoutMs = limitMs): Promise<HttpAnswer> {
    const headers = { 'content-type': 'text/plain;charset=UTF-8', 'content-length': String(Buffer.byteLength(body)) };
    return ask(this.port, `${enginePath}&sid=${this.sid}`, {
      method: 'POST',
      headers,
      body,
      from: this.from,
      timeoutMs,
    });
  }
  poll(timeoutMs = limitMs): Promise<HttpAnswer> {
    return ask(this.port, `${enginePath}&sid=${this.sid}`, { from: this.from, timeoutMs });
  }
}

/** The reply to an event. */
export type Reply =
  | { kind: 'answer'; ok: boolean; code: string; message: string; value: Record<string, unknown> }
  | { kind: 'closed'; how: string }
  | { kind: 'silence' };

/** A WebSocket that speaks Engine.IO and Socket.IO by hand. */
export class RawSocket {
  /** Received packets, without pings and acknowledgements; the first is the handshake. */
  readonly packets: string[] = [];
  /** Acknowledgements by namespace and id, until they are read. */
  readonly #acks = new Map<string, string>();
  closed: string | null = null;
  #nextAck = 1;

  private constructor(readonly ws: WebSocket) {
    ws.on('message', (data, isBinary) => {
      const text = isBinary ? '(binary)' : (data as Buffer).toString();
      const ack = /^43([^,]*,\d+)(\[.*)$/s.exec(text);
      if (text === '2') this.send('3');
      else if (ack) this.#acks.set(ack[1]!, ack[2]!);
      else if (this.packets.length < 10_000) this.packets.push(text);
    });
    ws.on('error', (error) => (this.closed ??= error.message));
    ws.on('unexpected-response', (_request, response) => {
      this.closed ??= `HTTP ${response.statusCode}`;
      ws.terminate();
    });
    ws.on('close', (code, reason) => (this.closed ??= `${code} ${reason.toString()}`.trim()));
  }

  /** Opens it; `closed` says whether it was refused. */
  static async open(port: number, { from = attackerAddress(), cookie = '' } = {}): Promise<RawSocket> {
    const socket = new RawSocket(
      new WebSocket(`ws://127.0.0.1:${port}/socket.io/?EIO=4&transport=websocket`, {
        ...{ localAddress: from, perMessageDeflate: false, maxPayload: 2 ** 30, handshakeTimeout: limitMs },
        headers: cookie ? { cookie } : {},
      }),
    );
    await until(() => socket.packets.length > 0 || socket.closed !== null, limitMs);
    return socket;
  }

  send(data: string | Buffer): void {
    if (this.ws.readyState === WebSocket.OPEN) this.ws.send(data, () => undefined);
  }

  /** Joins a namespace (`/trainer`). @returns the hub's packet; empty if none came */
  async join(namespace: string, auth?: unknown): Promise<string> {
    const from = this.packets.length;
    const isAnswer = (packet: string): boolean => /^4[04]/.test(packet) && packet.slice(2).startsWith(namespace);
    this.send(`40${namespace},${auth === undefined ? '' : JSON.stringify(auth)}`);
    await until(() => this.closed !== null || this.packets.slice(from).some(isAnswer), limitMs);
    return this.packets.slice(from).find(isAnswer) ?? '';
  }

  /** Sends an event and waits for its acknowledgement. @param message JSON text, possibly invalid */
  async ask(namespace: string, event: string, message: string, timeoutMs = limitMs): Promise<Reply> {
    const id = this.#nextAck++;
    const key = `${namespace},${id}`;
    this.send(`42${key}[${JSON.stringify(event)},${message}]`);
    await until(() => this.#acks.has(key) || this.closed !== null, timeoutMs);
    const answer = this.#acks.get(key);
    this.#acks.delete(key);
    if (answer !== undefined) return replyOf(answer);
    return this.closed === null ? { kind: 'silence' } : { kind: 'closed', how: this.closed };
  }

  close(): void {
    this.ws.terminate();
  }
}

function replyOf(text: string): Reply {
  const [value] = JSON.parse(text) as [Record<string, unknown>];
  const error = (value['error'] ?? {}) as { code?: string; message?: string };
  return { kind: 'answer', ok: value['ok'] === true, code: error.code ?? '', message: error.message ?? '', value };
}

/** Runs work with limited concurrency. */
export async function inLanes<T>(count: number, lanes: number, work: (index: number) => Promise<T>): Promise<T[]> {
  const results: T[] = [];
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < count) {
      const index = next++;
      results[index] = await work(index);
    }
  };
  await Promise.all(Array.from({ length: Math.min(lanes, count) }, lane));
  return results;
}
