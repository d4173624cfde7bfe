import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { CommandRecord } from '@plumbline/shared/command';
import {
  defaultTiming,
  deliver,
  isNotification,
  refusedTarget,
  type DeliveryTiming,
  type NotificationRecord,
} from './webhook.js';

const secret = 'a secret of the test';
interface Received {
  url: string;
  headers: IncomingHttpHeaders;
  body: string;
}

let server: Server;
let host: string;
let received: Received[];
/** What the receiver does with each request in turn; 204 when there is nothing left. */
let answers: ((response: ServerResponse) => void)[];
const status =
  (code: number, headers: Record<string, string> = {}) =>
  (response: ServerResponse): void =>
    void response.writeHead(code, headers).end('whatever');
const hang = (): void => undefined;
const hangUp = (response: ServerResponse): void => void response.destroy();

beforeEach(async () => {
  [received, answers] = [[], []];
  server = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk: Buffer) => (body += chunk.toString()));
    request.on('end', () => {
      received.push({ url: request.url!, headers: request.headers, body });
      (answers.shift() ?? status(204))(response);
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterEach(() => {
  server.closeAllConnections();
  server.close();
});

const record = (url = `http://${host}/hook?x=1`): NotificationRecord => {
  const parsed = CommandRecord.parse({
    commandId: 'rule-0123456789abcdef',
    runId: 'run-1',
    action: { kind: 'notify', url, rule: 'Bias', metric: 'train/loss', step: 40, value: 'NaN', firedMs: 1234 },
    cause: 'train/loss was NaN at step 40: not finite',
    author: 'rule:Bias',
    state: 'pending',
    receivedMs: 1,
    endedMs: null,
    step: null,
    before: null,
    after: null,
    reason: '',
  });
  if (!isNotification(parsed)) throw new Error('no notification');
  return parsed;
};
/** Delivers without waiting; `waits` are the milliseconds that it would have waited. */
async function send(of = record(), change: Partial<DeliveryTiming> = {}, options = { secret, hosts: [host] }) {
  const waits: number[] = [];
  const timing = { ...defaultTiming, wait: (ms: number) => Promise.resolve(void waits.push(ms)), ...change };
  return { outcome: await deliver(of, options, new AbortController().signal, timing), waits };
}

describe('a webhook', () => {
  it('is posted with what fired, an id and a signature that its receiver can check', async () => {
    const { outcome } = await send();
    expect(outcome).toEqual({ delivered: true, status: 204, attempts: 1 });
    const [{ url, headers, body }] = received as [Received];
    expect(url).toBe('/hook?x=1');
    expect(headers['content-type']).toBe('application/json');
    expect(JSON.parse(body)).toEqual({
      id: 'rule-0123456789abcdef',
      run: 'run-1',
      rule: 'Bias',
      metric: 'train/loss',
      step: 40,
      value: 'NaN',
      reason: 'train/loss was NaN at step 40: not finite',
      firedMs: 1234,
    });
    expect(headers['plumbline-id']).toBe('rule-0123456789abcdef');
    const timestamp = headers['plumbline-timestamp'] as string;
    expect(Math.abs(Number(timestamp) - Date.now() / 1000)).toBeLessThan(60);
    const expected = createHmac('sha256', secret).update(`${timestamp}.${body}`).digest('hex');
    expect(headers['plumbline-signature']).toBe(`v1=${expected}`);
  });

  it('is sent again after 5xx, 429, 408, a hang and a lost connection, always with the same id and body', async () => {
    answers = [status(500), status(503), status(429), status(408), hang, hangUp];
    const { outcome, waits } = await send(record(), { answerMs: 200 });
    expect(outcome).toEqual({ delivered: true, status: 204, attempts: 7 });
    expect(new Set(received.map(({ headers }) => headers['plumbline-id'])).size).toBe(1);
    expect(new Set(received.map(({ body }) => body)).size).toBe(1);
    // Twice as long each time, of which up to half is left to chance.
    waits.forEach((ms, i) => {
      expect(ms).toBeGreaterThanOrEqual(500 * 2 ** i);
      expect(ms).toBeLessThanOrEqual(1000 * 2 ** i);
    });
  });

  it('waits as long as its receiver asks, up to an hour', async () => {
    const inTwoMinutes = new Date(Date.now() + 120_000).toUTCString();
    answers = [
      status(429, { 'retry-after': '90' }),
      status(503, { 'retry-after': inTwoMinutes }),
      status(429, { 'retry-after': '999999' }),
      status(429, { 'retry-after': 'soon' }),
    ];
    const { waits } = await send();
    expect(waits[0]).toBe(90_000);
    expect(waits[1]).toBeGreaterThan(100_000);
    expect(waits[1]).toBeLessThanOrEqual(120_000);
    expect(waits[2]).toBe(3_600_000);
    expect(waits[3]).toBeLessThanOrEqual(8_000);
  });

  it('is given up after the last attempt, with its error', async () => {
    answers = Array.from({ length: 4 }, () => status(500));
    expect((await send(record(), { attempts: 4 })).outcome).toEqual({
      delivered: false,
      reason: `${host} answered 500, the last of 4 attempts.`,
    });
    expect(received).toHaveLength(4);
    answers = [hang];
    expect((await send(record(), { attempts: 1, answerMs: 100 })).outcome).toEqual({
      delivered: false,
      reason: `${host} did not answer within 0.1 s, the last of 1 attempts.`,
    });
    server.close();
    server.closeAllConnections();
    // The first attempt may find a connection that was kept open.
    expect((await send(record(), { attempts: 2 })).outcome).toEqual({
      delivered: false,
      reason: expect.stringMatching(/cannot be reached \(.*ECONNREFUSED/),
    });
  });

  it('is given up at once if it is refused for good; redirects are not followed', async () => {
    answers = [status(404)];
    expect((await send()).outcome).toEqual({ delivered: false, reason: `${host} answered 404.` });
    answers = [status(302, { location: `http://${host}/elsewhere` })];
    expect((await send()).outcome).toEqual({
      delivered: false,
      reason: `${host} answered 302, a redirect, which is not followed.`,
    });
    expect(received.map(({ url }) => url)).toEqual(['/hook?x=1', '/hook?x=1']);
  });

  it('is not sent without a secret, nor to an unlisted host or port', async () => {
    for (const options of [
      { secret: null as never, hosts: [host] },
      { secret, hosts: [] },
      { secret, hosts: ['127.0.0.1', 'localhost'] },
    ])
      expect((await send(record(), {}, options)).outcome).toMatchObject({ delivered: false });
    expect(received).toEqual([]);
  });

  it('stops with the hub, and stays undelivered', async () => {
    answers = [hang];
    const closing = new AbortController();
    const delivery = deliver(record(), { secret, hosts: [host] }, closing.signal);
    while (received.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    closing.abort(new Error('closing'));
    await expect(delivery).rejects.toThrow('closing');
  });
});

describe('refusedTarget', () => {
  const hosts = ['hooks.example.org', 'hooks.example.org:8443'];
  it.each([
    ['https://hooks.example.org/path', true],
    ['https://hooks.example.org:443/path', true],
    ['http://hooks.example.org', true],
    ['https://HOOKS.example.org:8443/', true],
    ['https://hooks.example.org:9000/', false],
    ['https://evil.example.org/hooks.example.org', false],
    ['https://hooks.example.org.evil.net/', false],
    ['http://169.254.169.254/latest/meta-data', false],
    ['http://127.0.0.1:4517/', false],
  ])('%s may be called: %s', (url, isAllowed) => {
    expect(refusedTarget(url, { secret, hosts }) === null).toBe(isAllowed);
  });
  it('says what to set', () => {
    expect(refusedTarget('https://a.example', { secret: null, hosts })).toMatch('PLUMBLINE_WEBHOOK_SECRET');
    expect(refusedTarget('https://a.example', { secret, hosts })).toMatch(
      /a\.example: add it to PLUMBLINE_WEBHOOK_HOSTS/,
    );
  });
});
