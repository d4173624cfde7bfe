import { once } from 'node:events';
import { request, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { brotliDecompressSync, gunzipSync } from 'node:zlib';
import express from 'express';
import { afterEach, expect, it, vi } from 'vitest';
import { ReadAbandonedError } from '../store/event-store.js';
import { compressAnswers } from './compress-answers.js';
import { JsonAnswer } from './json-answer.js';

const cleanUps: (() => unknown)[] = [];
afterEach(() => {
  for (const cleanUp of cleanUps.splice(0).reverse()) cleanUp();
});

/** Numbers that do not compress well, so that much of them waits in the connection. */
const values = Float64Array.from({ length: 20_000 }, () => Math.random());

/** A server whose one route answers `columns` times the values; what it has written, and how that ended. */
async function serving(columns: number): Promise<{ port: number; progress: { columns: number; end: unknown } }> {
  const progress: { columns: number; end: unknown } = { columns: 0, end: undefined };
  const app = express()
    .use(compressAnswers())
    .get('/short', (_request, response) => void response.json({ short: true }))
    .get('/download', (_request, response) => void response.type('application/x-ndjson').send('{}\n'.repeat(10_000)))
    .get('/', async (asked, response) => {
      const gone = new AbortController();
      asked.socket.once('close', () => gone.abort());
      const answer = new JsonAnswer(response, gone.signal);
      await answer.write('{');
      for (let i = 0; i < columns; i++) {
        if (i > 0) await answer.write(',');
        await answer.column(`column ${i}`, values).catch((error: unknown) => {
          progress.end = error;
          throw error;
        });
        progress.columns++;
      }
      answer.end('}');
      progress.end = 'whole';
    })
    .use(((_error, _request, response, _next) => void response.destroy()) as express.ErrorRequestHandler);
  const server: Server = app.listen(0, '127.0.0.1');
  await once(server, 'listening');
  cleanUps.push(() => server.close());
  return { port: (server.address() as AddressInfo).port, progress };
}

async function asked(port: number, path: string, encoding: string): Promise<IncomingMessage> {
  const question = request({ port, path, agent: false, headers: { 'accept-encoding': encoding } }).end();
  cleanUps.push(() => question.destroy());
  question.on('error', () => undefined);
  const [answer] = (await once(question, 'response')) as [IncomingMessage];
  return answer;
}
async function bodyOf(answer: IncomingMessage): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of answer as AsyncIterable<Buffer>) pieces.push(piece);
  return Buffer.concat(pieces);
}

const plain = (body: Buffer): Buffer => body;
it.each([
  ['br, gzip', 'br', brotliDecompressSync],
  ['gzip, deflate', 'gzip', gunzipSync],
  ['identity', undefined, plain],
])('a streamed answer for %s comes as %s and is whole', async (accepted, encoding, decode) => {
  const { port } = await serving(2);
  const answer = await asked(port, '/', accepted);
  expect(answer.headers['content-encoding']).toBe(encoding);
  expect(answer.headers.vary).toContain('Accept-Encoding');
  const body = await bodyOf(answer);
  const text = decode(body).toString();
  expect(JSON.parse(text)).toEqual({ 'column 0': [...values], 'column 1': [...values] });
  if (encoding) expect(body.length).toBeLessThan(0.6 * text.length);
});

it.each(['/short', '/download'])('%s is left as it is', async (path) => {
  const { port } = await serving(1);
  expect((await asked(port, path, 'br, gzip')).headers['content-encoding']).toBeUndefined();
});

it.each(['br', 'gzip'])(
  'a slow reader of %s holds up the making of its answer, without a warning',
  async (encoding) => {
    const warned = vi.fn();
    process.on('warning', warned);
    cleanUps.push(() => process.off('warning', warned));
    const { port, progress } = await serving(100);
    const answer = await asked(port, '/', encoding);
    answer.pause();
    // It comes to a stop: what is made twice in a row is the same.
    let before = -1;
    while (before !== progress.columns || before === 0) {
      before = progress.columns;
      await sleep(500);
    }
    expect(progress.columns).toBeLessThan(100);
    for await (const _ of answer.resume());
    expect(progress).toEqual({ columns: 100, end: 'whole' });
    expect(warned).not.toHaveBeenCalled();
  },
);

it.each(['br', 'gzip'])('an answer in %s whose reader leaves is ended', async (encoding) => {
  const { port, progress } = await serving(1000);
  (await asked(port, '/', encoding)).destroy();
  await vi.waitFor(() => expect(progress.end).toBeInstanceOf(ReadAbandonedError), 5000);
  expect(progress.columns).toBeLessThan(1000);
});
