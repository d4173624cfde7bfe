import { once } from 'node:events';
import { createServer, type Server, type ServerResponse } from 'node:http';
import { createConnection, type AddressInfo, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { eventually } from '../../test/support/eventually.js';
import { RequestTurns } from './request-turns.js';

describe('requests of one connection', () => {
  let server: Server;
  /** Answers that are not yet given. */
  let open: ServerResponse[];
  let asked: string[];
  const sockets: Socket[] = [];
  beforeEach(async () => {
    [open, asked] = [[], []];
    server = createServer((request, response) => {
      asked.push(request.url!);
      open.push(response);
    });
    new RequestTurns(server, 20);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
  });
  afterEach(() => {
    for (const socket of sockets.splice(0)) socket.destroy();
    server.close();
  });
  const get = (path: number | string): string => `GET /${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`;
  function connection(): { socket: Socket; text: () => string } {
    const socket = createConnection((server.address() as AddressInfo).port, '127.0.0.1');
    sockets.push(socket);
    let text = '';
    socket.on('data', (chunk: Buffer) => (text += chunk.toString()));
    socket.on('error', () => undefined);
    return { socket, text: () => text };
  }
  const until = (holds: () => boolean) => eventually(() => Promise.resolve(holds() ? true : null));

  it('are answered one after another, in their order, beside those of others', async () => {
    const { socket, text } = connection();
    socket.write(Array.from({ length: 10 }, (_, i) => get(i)).join(''));
    await until(() => asked.length > 0);
    connection().socket.write(get('other'));
    await until(() => asked.includes('/other'));
    for (let i = 0; i < 10; i++) {
      // Nothing of the next one is done before.
      expect(asked.filter((path) => path !== '/other')).toHaveLength(i + 1);
      open.find(({ req }) => req.url === `/${i}`)!.end(`answer ${i};`);
      if (i < 9) await until(() => asked.includes(`/${i + 1}`));
    }
    await until(() => text().includes('answer 9;'));
    expect(text().match(/answer \d/g)).toEqual(Array.from({ length: 10 }, (_, i) => `answer ${i}`));
  });

  it('end it when too many wait, and are not answered', async () => {
    const { socket } = connection();
    const closed = new Promise((resolve) => socket.once('close', resolve));
    socket.write(get('many').repeat(5000));
    await closed;
    expect(asked).toEqual(['/many']);
    connection().socket.write(get('next'));
    await until(() => asked.includes('/next'));
  });

  it('are dropped when it is closed', async () => {
    const { socket } = connection();
    socket.write(get(0) + get(1));
    await until(() => asked.length === 1);
    socket.destroy();
    await once(open[0]!, 'close');
    await new Promise((resolve) => setImmediate(resolve));
    expect(asked).toEqual(['/0']);
  });
});
