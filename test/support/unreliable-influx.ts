import { createServer, request, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { once } from 'node:events';

/** What goes wrong with a request; what is not named here is answered by the server behind. */
export type Trouble =
  /** An answer that the server behind never hears of. */
  | { kind: 'answer'; status: number; headers?: Record<string, string>; body?: string }
  /** The server behind gets it changed, and its own answer comes back. */
  | { kind: 'changed'; headers?: Record<string, string>; path?: (path: string) => string }
  /** Refused when it is larger than that. */
  | { kind: 'too_large'; bytes: number }
  /** The connection breaks after the first bytes of the request. */
  | { kind: 'reset' }
  /** The server behind has done it, and the connection breaks before anybody hears. */
  | { kind: 'answer_lost' }
  /** The connection breaks in the middle of the answer. */
  | { kind: 'half_answer' }
  /** The server behind hears of it later. */
  | { kind: 'late'; until: Promise<void> }
  /** The server behind has answered those that match, which `onAnswer` is told, and that comes back later. */
  | { kind: 'answer_late'; of: RegExp; onAnswer: () => void; until: Promise<void> }
  /** Nothing comes, and the connection stays. */
  | { kind: 'silence' };

/** A real HTTP server in front of a real InfluxDB that misbehaves on demand. */
export class UnreliableInflux {
  /** What happens to writes, to queries, and to deletions; null: nothing. */
  trouble: { write: Trouble | null; query: Trouble | null; delete?: Trouble } = { write: null, query: null };
  /** Wall times at which writes came in. */
  writesAtMs: number[] = [];
  /** Event numbers of the lines that the server behind has taken, in the order it took them. */
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
      return; // the store itself has given up
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
