import { once } from 'node:events';
import { request, type IncomingMessage, type Server } from 'node:http';
import { createConnection, type AddressInfo, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { createHttpServer, UnknownConnections } from './http-server.js';

let server: Server;
const sockets: Socket[] = [];
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy();
  server.close();
});

async function listen(app: Parameters<typeof createHttpServer>[0]): Promise<void> {
  server = createHttpServer(app, { headersWithinMs: 200, requestWithinMs: 300, lookEveryMs: 50 });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
}
/** A connection on which this is sent, and what comes back until the hub closes it. */
function connection(sent = ''): { socket: Socket; answer: Promise<string> } {
  const socket = createConnection((server.address() as AddressInfo).port, '127.0.0.1');
  sockets.push(socket);
  let text = '';
  socket.on('data', (chunk: Buffer) => (text += chunk.toString()));
  socket.on('error', () => undefined);
  if (sent) socket.write(sent);
  return { socket, answer: once(socket, 'close').then(() => text) };
}
const post = 'POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{"a"';

describe('a connection', () => {
  it.each([
    ['on which nothing is sent', ''],
    ['on which half a head is sent', 'GET / HTTP/1.1\r\nHost: loc'],
    ['on which half a body is sent', post],
  ])('%s is closed', async (_, sent) => {
    await listen((incoming, response) => incoming.on('end', () => response.end('done')).resume());
    expect(await connection(sent).answer).not.toContain('done');
  });

  it('whose answer takes long stays', async () => {
    await listen((_, response) => void setTimeout(() => response.end('done'), 700));
    const answer = connection('GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n').answer;
    expect(await answer).toContain('done');
  });
});

describe('connections of those who have shown nothing', () => {
  it('give way to later ones when there are too many; those of a session stay', async () => {
    const unknown = new UnknownConnections(3);
    server = createHttpServer((incoming: IncomingMessage, response) => {
      if (incoming.headers.cookie === 'mine') unknown.isKnown(incoming);
      response.write('here');
    });
    unknown.follow(server);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const mine = request({ port: (server.address() as AddressInfo).port, headers: { cookie: 'mine' } }).end();
    const [answer] = (await once(mine, 'response')) as [IncomingMessage];
    const opened: ReturnType<typeof connection>[] = [];
    for (let i = 0; i < 5; i++) {
      opened.push(connection());
      await once(opened[i]!.socket, 'connect');
    }
    await Promise.all([opened[0]!.answer, opened[1]!.answer]);
    expect(unknown.size).toBe(3);
    expect(opened[4]!.socket.destroyed).toBe(false);
    expect(answer.destroyed).toBe(false);
    mine.destroy();
  });
});
