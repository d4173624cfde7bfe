import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import type { AddressInfo } from 'node:net';
import type { Server } from 'node:http';
import express, { type Response } from 'express';
import { afterEach, expect, it } from 'vitest';
import { cutOffStalledReaders } from './stalled-readers.js';

const cleanUps: (() => unknown)[] = [];
afterEach(() => {
  for (const cleanUp of cleanUps.splice(0).reverse()) cleanUp();
});

/** A server whose answer is written by `answer`; a reader that reads nothing until it is told to. */
async function connected(answer: (response: Response) => void): Promise<{ reader: Socket; response: Response }> {
  const app = express();
  const asked = new Promise<Response>((resolve) => {
    app.use(cutOffStalledReaders(500), (_request, response) => {
      answer(response);
      resolve(response);
    });
  });
  const server: Server = app.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const reader = connect((server.address() as AddressInfo).port, '127.0.0.1').pause();
  reader.on('error', () => undefined);
  cleanUps.push(
    () => server.close(),
    () => reader.destroy(),
  );
  reader.write('GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
  return { reader, response: await asked };
}

/** More than the kernel's buffers of a connection hold. */
const large = Buffer.alloc(20 * 2 ** 20, 'x');
function writeAll(response: Response): void {
  for (let from = 0; from < large.length; from += 65_536) response.write(large.subarray(from, from + 65_536));
  response.end();
}

/** Bytes that come from now on, 16 kB a time, `pieces` every 20 ms; all that come at once without it. */
async function bytesOf(reader: Socket, pieces = Infinity): Promise<number> {
  let bytes = 0;
  const timer = setInterval(() => {
    for (let i = 0; i < pieces; i++) {
      const piece = reader.read(16_384) ?? (reader.read() as Buffer | null);
      if (piece === null) return;
      bytes += (piece as Buffer).length;
    }
  }, 20);
  cleanUps.push(() => clearInterval(timer));
  reader.on('readable', () => undefined);
  await once(reader, 'close');
  return bytes;
}

it('cuts off a reader that takes nothing', async () => {
  const { reader, response } = await connected(writeAll);
  await once(response, 'close');
  expect(await bytesOf(reader)).toBeLessThan(large.length);
});

it('leaves a reader alone that reads slowly, and one for whom nothing is ready', async () => {
  // Nothing at first, for several looks.
  const { reader } = await connected((response) => void setTimeout(() => writeAll(response), 1200));
  expect(await bytesOf(reader, 20)).toBeGreaterThan(large.length);
});
