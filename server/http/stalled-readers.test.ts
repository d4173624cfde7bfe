import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import type { AddressInfo } from 'node:net';
import type { Server } from 'node:http';
import express, { type Response } from 'express';
import { afterEach, expect, it } from 'vitest';
import { cutOffStalledReaders, haveOthersWait } from './stalled-readers.js';

const cleanUps: (() => unknown)[] = [];
afterEach(() => {
  for (const cleanUp of cleanUps.splice(0).reverse()) cleanUp();
});

/** A server whose answer is written by `answer`; a reader that reads nothing until it is told to. */
async function connected(
  answer: (response: Response) => void,
  { isAwaited = false, intervalMs = 500 } = {},
): Promise<{ reader: Socket; response: Response }> {
  const app = express();
  const asked = new Promise<Response>((resolve) => {
    app.use(cutOffStalledReaders(intervalMs), (_request, response) => {
      haveOthersWait(response, () => isAwaited);
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

/** Bytes that come from now on, with a rest of `restMs` after each piece. */
async function bytesOf(reader: Socket, restMs: number): Promise<number> {
  let bytes = 0;
  reader.on('data', (piece) => {
    bytes += piece.length;
    reader.pause();
    setTimeout(() => reader.resume(), restMs);
  });
  reader.resume();
  await once(reader, 'close');
  return bytes;
}

it('cuts off a reader that takes nothing', async () => {
  const { reader, response } = await connected(writeAll);
  await once(response, 'close');
  expect(await bytesOf(reader, 0)).toBeLessThan(large.length);
});

it('leaves a reader alone that reads slowly, and one for whom nothing is ready', async () => {
  // Nothing at first, for several looks.
  const { reader } = await connected((response) => void setTimeout(() => writeAll(response), 1200));
  expect(await bytesOf(reader, 2)).toBeGreaterThan(large.length);
});

it('cuts off a slow reader sooner while others wait for its place, and leaves a quick one alone', async () => {
  const intervalMs = 4000;
  const slow = async (isAwaited: boolean) => {
    const { reader, response } = await connected(writeAll, { isAwaited, intervalMs });
    reader.on('readable', () => undefined);
    const reading = setInterval(() => reader.read(2048), 50);
    cleanUps.push(() => clearInterval(reading));
    return response;
  };
  const quick = await connected(writeAll, { isAwaited: true, intervalMs });
  const bytes = bytesOf(quick.reader, 0);
  const [awaited, other] = [await slow(true), await slow(false)];
  await once(awaited, 'close');
  expect(other.closed).toBe(false);
  expect(await bytes).toBeGreaterThan(large.length);
}, 60_000);
