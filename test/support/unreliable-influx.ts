import { createServer, request, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { once } from 'node:events';

/** A fault of a request; other requests go to the real server. */
export type Trouble =
  /** An answer without asking the real server. */
  | { kind: 'answer'; status: number; headers?: Record<string, string>; body?: string }
  /** The real server gets a changed request, and its answer is returned. */
  | { kind: 'changed'; headers?: Record<string, string>; path?: (path: string) => string }
  /** Refuses larger requests. */
  | { kind: 'too_large'; bytes: number }
  /** The connection breaks after the first bytes of the request. */
  | { kind: 'reset' }
  /** The real server has handled it, and the connection breaks before the answer. */
  | { kind: 'answer_lost' }
  /** The connection breaks in the middle of the answer. */
  | { kind: 'half_answer' }
  /** The real server gets the request later. */
  | { kind: 'late'; until: Promise<void> }
  /** The real server answers matching requests at once and `onAnswer` is called, but the answer is returned later. */
  | { kind: 'answer_late'; of: RegExp; onAnswer: () => void; until: Promise<void> }
  /** No answer, with an open connection. */
  | { kind: 'silence' };

/** A real HTTP proxy in front of a real InfluxDB that misbehaves on demand. */
export class UnreliableInflux {
  /** The faults of writes, queries and deletions; null means none. */
  trouble: { write: Trouble | null; query: Trouble | null; delete?: Trouble } = { write: null, query: null };
  /** Wall times of incoming writes. */
  writesAtMs: number[] = [];
  /** Event numbers of the lines that the real server has accepted, in order. */
  takenSeqs: number[] = [];
  readonly #server: Server;

  private constructor(readonly behind: string) {
    this.#server = createServer((incoming, outgoing) => void this.#serve(incoming, outgoing));
  }

  static async before(url: string): Promise<UnreliableInflux> {
    const front = new UnreliableInflux(url);
    front.#server.listen(0, '127.0.0.1');
    await once(front.#server, 'listening');
    return front;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }

  async #serve(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    const isWrite = incoming.url!.startsWith('/api/v2/write');
    const isDelete = incoming.url!.startsWith('/api/v2/delete');
    const trouble = isWrite ? this.trouble.write : isDelete ? (this.trouble.delete ?? null) : this.trouble.query;
    if (isWrite) this.writesAtMs.push(Date.now());
    const chunks: Buffer[] = [];
    try {
      for await (const chunk of incoming) {
        chunks.push(chunk as Buffer);
        if (trouble?.kind === 'reset') return void incoming.socket.destroy();
      }
    } catch {
      return; // the store itself has timed out
    }
    const body = Buffer.concat(chunks);
    if (trouble?.kind === 'silence') return;
    if (trouble?.kind === 'answer')
      return void outgoing.writeHead(trouble.status, trouble.headers).end(trouble.body ?? '');
    if (trouble?.kind === 'too_large' && body.length > trouble.bytes)
      return void outgoing.writeHead(413).end('{"code":"request too large","message":"too large"}');
    if (trouble?.kind === 'late') await trouble.until;
    const changed = trouble?.kind === 'changed' ? trouble : undefined;
    const onward = request(this.behind + (changed?.path?.(incoming.url!) ?? incoming.url!), {
      method: incoming.method!,
      headers: { ...incoming.headers, ...changed?.headers, 'content-length': body.length },
    });
    onward.on('error', () => incoming.socket.destroy());
    onward.on('response', (answer) => void this.#answer(answer, body, trouble, outgoing));
    onward.end(body);
  }

  async #answer(answer: IncomingMessage, body: Buffer, trouble: Trouble | null, outgoing: ServerResponse) {
    const chunks: Buffer[] = [];
    for await (const chunk of answer) chunks.push(chunk as Buffer);
    if (answer.statusCode === 204)
      for (const [, seq] of body.toString().matchAll(/^plumbline\.event.* seq=(\d+)i/gm))
        this.takenSeqs.push(Number(seq));
    if (trouble?.kind === 'answer_lost') return void outgoing.socket?.destroy();
    if (trouble?.kind === 'answer_late' && trouble.of.test(body.toString())) {
      trouble.onAnswer();
      await trouble.until;
    }
    const content = Buffer.concat(chunks);
    outgoing.writeHead(answer.statusCode!, answer.headers);
    if (trouble?.kind !== 'half_answer') return void outgoing.end(content);
    outgoing.write(content.subarray(0, content.length / 2), () => outgoing.socket?.destroy());
  }
}
