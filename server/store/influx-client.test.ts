import { once } from 'node:events';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { ReadAbandonedError } from './event-store.js';
import { InfluxClient } from './influx-client.js';

const header = [
  '#datatype,string,long,string',
  '#group,false,false,false',
  '#default,_result,,',
  ',result,table,_value',
];
const oneRow = `${header.join('\r\n')}\r\n,,0,a\r\n`;

/** A busy InfluxDB: it may begin an answer and never ends it. */
let server: Server;
let answers: ServerResponse[];
let beginning: string;
let client: InfluxClient;
beforeEach(async () => {
  answers = [];
  server = createServer((request, response) => {
    request.resume().once('end', () => {
      answers.push(response);
      server.emit('asked');
      if (beginning !== '') response.writeHead(200, { 'content-type': 'text/csv' }).write(beginning);
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  client = new InfluxClient({ url, org: 'o', bucket: 'b', token: 't' });
});
afterEach(() => {
  server.closeAllConnections();
  server.close();
});

it.each(['', oneRow])('an abandoned query ends its request at once, with this much of an answer: %j', async (text) => {
  beginning = text;
  const reader = new AbortController();
  let rows = 0;
  const reading = client.query('from(bucket: "b")', () => rows++, reader.signal);
  const failed = expect(reading).rejects.toThrow(ReadAbandonedError);
  await once(server, 'asked');
  const ended = once(answers[0]!, 'close');
  if (text !== '') await expect.poll(() => rows).toBe(1);
  reader.abort();
  await Promise.all([failed, ended]);
  expect(answers).toHaveLength(1);
});

it('a query of a reader that has gone is not sent', async () => {
  const reading = client.query('from(bucket: "b")', () => undefined, AbortSignal.abort());
  await expect(reading).rejects.toThrow(ReadAbandonedError);
  expect(answers).toHaveLength(0);
});

it('queries leave nothing behind on the signal of a reader that stays', async () => {
  beginning = oneRow;
  const reader = new AbortController();
  const { signal } = reader;
  const listeners = new Set<unknown>();
  const [add, remove] = [signal.addEventListener.bind(signal), signal.removeEventListener.bind(signal)];
  signal.addEventListener = (...args: Parameters<typeof add>) => (listeners.add(args[1]), add(...args));
  signal.removeEventListener = (...args: Parameters<typeof remove>) => (listeners.delete(args[1]), remove(...args));
  const reading = client.query('from(bucket: "b")', () => undefined, signal);
  await once(server, 'asked');
  expect(listeners.size).toBeGreaterThan(0);
  answers[0]!.end();
  await reading;
  expect(listeners.size).toBe(0);
});
