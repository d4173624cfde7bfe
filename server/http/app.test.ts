import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, utimesSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { request as httpRequest } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { brotliCompressSync, gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { maxAnswerValues } from '@plumbline/shared/request-limits';
import type { FindingsResponse, HistoryResponse } from '@plumbline/shared/http';
import type { ControlEvent } from '@plumbline/shared/trainer-event';
import { aRunId, finished, started, stepped, TestHub, asStored, testTimeMs } from '../../test/support/test-hub.js';
import { EmbeddedStore } from '../store/embedded-store.js';

const webDir = mkdtempSync(join(tmpdir(), 'plumbline-web-'));
const inline = 'self.__start = [1, "<b>"]';
mkdirSync(join(webDir, 'runs'));
mkdirSync(join(webDir, '_next/static'), { recursive: true });
writeFileSync(
  join(webDir, 'index.html'),
  `<script src="/_next/static/a.js"></script><p>home</p><script>${inline}</script><script>2</script>`,
);
writeFileSync(join(webDir, 'runs/index.html'), '<p>runs</p><script>3</script>');
writeFileSync(join(webDir, '404.html'), '<p>lost</p>');
writeFileSync(join(webDir, '_next/static/a.js'), '1');
const script = 'export const longer = 1;\n'.repeat(50);
writeFileSync(join(webDir, '_next/static/b.js'), script);
writeFileSync(join(webDir, '_next/static/b.js.br'), brotliCompressSync(script));
writeFileSync(join(webDir, '_next/static/b.js.gz'), gzipSync(script));
writeFileSync(join(webDir, 'runs/index.html.br'), brotliCompressSync('<p>runs</p><script>3</script>'));

let hub: TestHub;
beforeAll(async () => {
  hub = await TestHub.start({ webDir, allowedHosts: ['plumb.test'], allowedOrigins: ['http://localhost:3000'] });
});
afterAll(async () => {
  await hub.remove();
  rmSync(webDir, { recursive: true });
});
const json = async (answer: Promise<Response>) => (await answer).json() as Promise<unknown>;

/** A request whose Host header says what it likes, as a rebound name does; fetch cannot. */
const asHost = (host: string) =>
  new Promise<number | undefined>((resolve, reject) =>
    httpRequest(`${hub.url}/readyz`, { headers: { host } }, (response) => resolve(response.resume().statusCode))
      .on('error', reject)
      .end(),
  );

describe('who is answered', () => {
  it.each([
    ['127.0.0.1:4517', 200],
    ['localhost', 200],
    ['[::1]:80', 200],
    ['192.168.1.5:4517', 200],
    ['plumb.test', 200],
    ['evil.test:4517', 403],
    ['127.0.0.1.evil.test', 403],
  ])('host %s: %i', async (host, status) => expect(await asHost(host)).toBe(status));

  it.each([
    ['http://evil.test', 403],
    ['null', 403],
    ['http://localhost:3000', 200],
  ])('origin %s: %i', async (origin, status) => {
    expect((await hub.request('GET', '/runs', undefined, { origin })).status).toBe(status);
  });
  it('its own origin is answered', async () => {
    expect((await hub.request('GET', '/runs', undefined, { origin: hub.url })).status).toBe(200);
  });
});

describe('sessions', () => {
  it('a link opens one session, once; its cookie is for this site and for no script', async () => {
    const token = hub.hub.sessions.createLink();
    const first = await hub.request('POST', '/session', { token });
    const cookie = first.headers.getSetCookie()[0]!;
    expect(cookie).toMatch(/^plumbline_\w+=[\w-]{43}; .*HttpOnly; SameSite=Strict/);
    const headers = { cookie: cookie.split(';')[0]! };
    expect(await json(hub.request('GET', '/session', undefined, headers))).toEqual({
      mayControl: true,
      mayWatch: true,
    });
    const second = await hub.request('POST', '/session', { token });
    expect(second.status).toBe(401);
    expect(await second.json()).toMatchObject({ error: { message: expect.stringContaining('plumbline -- link') } });
    // To anybody: no folder is named.
    expect(await json(hub.request('GET', '/session'))).toEqual({
      mayControl: false,
      mayWatch: true,
      howToControl: expect.stringMatching(/^This browser may only watch\. [^/]*`npm run plumbline -- link` prints/),
    });
  });

  it('a session survives the hub, until it is given up', async () => {
    const headers = { cookie: await hub.cookie() };
    await hub.restart();
    expect(await json(hub.request('GET', '/session', undefined, headers))).toEqual({
      mayControl: true,
      mayWatch: true,
    });
    await hub.request('DELETE', '/session', undefined, headers);
    expect(await json(hub.request('GET', '/session', undefined, headers))).toMatchObject({ mayControl: false });
  });

  it('a link that is a day old opens nothing', async () => {
    const token = hub.hub.sessions.createLink();
    const folder = join(hub.config.dataDir, 'links');
    for (const name of readdirSync(folder)) utimesSync(join(folder, name), new Date(0), new Date(0));
    expect((await hub.request('POST', '/session', { token })).status).toBe(401);
  });

  it('secrets are readable by their owner alone, and no file holds a session', async () => {
    const cookie = await hub.cookie();
    expect(statSync(join(hub.config.dataDir, 'trainer-token')).mode & 0o777).toBe(0o600);
    expect(readdirSync(join(hub.config.dataDir, 'sessions')).join()).not.toContain(cookie.split('=')[1]);
  });
});

describe('starting a run', () => {
  it('needs a session', async () => {
    const answer = await hub.request('POST', '/runs', { config: { name: 'x' } });
    expect(answer.status).toBe(403);
    expect(await json(hub.request('GET', '/runs'))).toMatchObject({ runs: [], total: 0 });
  });

  it.each([
    ['no configuration', {}],
    ['no name', { config: { name: ' ' } }],
    ['a learning rate of 0', { config: { name: 'x', learningRate: 0 } }],
    ['a negative learning rate', { config: { name: 'x', learningRate: -1 } }],
    ['a learning rate that is text', { config: { name: 'x', learningRate: '1e-3' } }],
    ['an unknown task', { config: { name: 'x', tasks: ['cooking'] } }],
    ['no task', { config: { name: 'x', tasks: [] } }],
    ['half a step', { config: { name: 'x', steps: 0.5 } }],
  ])('refuses %s', async (_, body) => {
    const answer = await hub.request('POST', '/runs', body, { cookie: await hub.cookie() });
    expect(answer.status).toBe(400);
    expect(await answer.json()).toMatchObject({
      error: { code: 'invalid', message: expect.stringContaining('config') },
    });
  });

  it('refuses to start from a run that is not there', async () => {
    const from = { runId: aRunId(), checkpointId: 'step-1' };
    const answer = await hub.request('POST', '/runs', { config: { name: 'x' }, from }, { cookie: await hub.cookie() });
    expect(answer.status).toBe(404);
  });
});

describe('asking afterwards', () => {
  it('gives what was declared of each series, with its last value', async () => {
    const runId = aRunId();
    const trainer = await hub.attached(runId);
    const series = [
      { number: 0, name: 'constructor', label: 'A loss', unit: 'nats', better: 'lower' as const, noiseFloor: 0.1 },
      { number: 1, name: 'never' },
    ];
    const step = { ...stepped(2), series: [0], values: ['NaN' as const] };
    await trainer.emitWithAck('events', { events: [{ ...started(), series }, step] });
    const [first, second] = series.map(({ number: _, ...facts }) => facts);
    expect(await json(hub.request('GET', `/runs/${runId}/series`))).toEqual({
      ...{ runId, lastSeq: 2 },
      series: [
        { ...first, last: { step: 2, value: 'NaN' } },
        { ...second, last: null },
      ],
    });
    expect((await hub.request('GET', '/runs/nowhere/series')).status).toBe(404);
  });

  it('gives windows of a series, figures of several runs side by side, and what stands out', async () => {
    const ids = [aRunId(), aRunId()];
    for (const [i, runId] of ids.entries()) {
      const trainer = await hub.attached(runId);
      const steps = [1, 2, 3, 4].map((n) => stepped(n + 1, { 'train/loss': n * (i + 1) }));
      await trainer.emitWithAck('events', { events: [started(), ...steps, stepped(6, { 'train/loss': 'NaN' })] });
    }
    const windows = await json(hub.request('GET', `/runs/${ids[0]}/windows?metric=train/loss&fromStep=2&everySteps=2`));
    expect(windows).toEqual({
      runId: ids[0],
      series: {
        'train/loss': {
          ...{ fromSteps: [2, 4], counts: [2, 2], minima: [1, 3], maxima: [2, 4], means: [1.5, 3.5], lasts: [2, 4] },
        },
      },
    });
    const both = await json(hub.request('GET', `/compare?run=${ids[0]}&run=${ids[1]}&metric=train/loss&toStep=4`));
    expect(both).toMatchObject({
      runs: [
        { run: { runId: ids[0] }, metrics: { 'train/loss': { count: 3, min: 1, max: 3, mean: 2, last: 3 } } },
        { run: { runId: ids[1] }, metrics: { 'train/loss': { count: 3, min: 2, max: 6, mean: 4, last: 6 } } },
      ],
    });
    const { findings } = (await json(hub.request('GET', `/runs/${ids[0]}/findings`))) as FindingsResponse;
    expect(findings[0]).toMatchObject({ kind: 'diverged', step: 6 });
  });

  it('reads for clients with a signal, so that their reads let commits go on and end with them', async () => {
    const runId = aRunId();
    const trainer = await hub.attached(runId);
    await trainer.emitWithAck('events', { events: [started(), stepped(2), finished(3)] });
    const { store } = hub.hub.runs;
    const isRead = (name: string): boolean => /^(each|history|windows|lastPoints|commands)/.test(name);
    const names = Object.getOwnPropertyNames(EmbeddedStore.prototype).filter(isRead);
    const methods = names.map((name) => [name, Reflect.get(store, name) as (...args: unknown[]) => unknown] as const);
    const unsigned: string[] = [];
    const hasSignal = (arg: unknown): boolean =>
      arg instanceof AbortSignal || (arg instanceof Object && 'signal' in arg && arg.signal instanceof AbortSignal);
    for (const [name, method] of methods) {
      const wrapped = (...args: unknown[]): unknown => {
        if (!args.some(hasSignal)) unsigned.push(name);
        return method.apply(store, args);
      };
      Object.assign(store, { [name]: wrapped });
    }
    const paths = [
      ...['series', 'history', 'latest?metric=*', 'windows', 'findings', 'events', 'examples', 'token-shifts'],
      ...['evaluations', 'checkpoints', 'commands', 'rules'],
    ].map((path) => `/runs/${runId}/${path}`);
    try {
      for (const path of [...paths, `/compare?run=${runId}`]) {
        expect((await hub.request('GET', path)).status).toBe(200);
        expect([path, ...unsigned]).toEqual([path]);
      }
    } finally {
      Object.assign(store, Object.fromEntries(methods));
    }
  });

  it('refuses what would be too large an answer, and says how to ask for less', async () => {
    const runId = aRunId();
    const trainer = await hub.attached(runId);
    await trainer.emitWithAck('events', { events: [started(), stepped(2), stepped(3)] });
    const { store } = hub.hub.runs;
    const { eachSeries, eachWindows } = store;
    // The limit of the routes, brought down to where three events are above it.
    const small = <R extends { maxValues?: number | undefined }>(range: R) => ({
      ...range,
      maxValues: range.maxValues! - maxAnswerValues + 1,
    });
    store.eachSeries = (id, range, ...rest) => eachSeries.call(store, id, small(range), ...rest);
    store.eachWindows = (id, range, ...rest) => eachWindows.call(store, id, small(range), ...rest);
    try {
      for (const path of ['history?metric=train/loss', 'windows?everySteps=1']) {
        const answer = await hub.request('GET', `/runs/${runId}/${path}`);
        expect(answer.status).toBe(400);
        expect(await answer.json()).toEqual({
          error: {
            code: 'invalid',
            message: expect.stringMatching(/^This answer would have more than 1 values. Ask for fewer/),
            retry: false,
          },
        });
      }
      expect((await hub.request('GET', `/runs/${runId}/history?metric=train/loss&toStep=2`)).status).toBe(200);
    } finally {
      Object.assign(store, { eachSeries, eachWindows });
    }
  });

  it.each([
    ['/compare', 400],
    ['/compare?run=nobody', 404],
    ['/runs/nobody/windows', 404],
    ['/runs/nobody/findings', 404],
  ])('says what is wrong with %s', async (path, status) => {
    const answer = await hub.request('GET', path);
    expect(answer.status).toBe(status);
    expect(await answer.json()).toMatchObject({ error: { message: expect.stringMatching(/\w/) } });
  });
});

describe('reading a run', () => {
  it('gives its series, NaN in words, and its control events, up to one event number', async () => {
    const runId = aRunId();
    const trainer = await hub.attached(runId);
    const events = [started(), stepped(2), stepped(3, { 'train/loss': 'NaN', 'shift/kl': 0.5 }), finished(4)];
    await trainer.emitWithAck('events', { events });
    const history = (await json(hub.request('GET', `/runs/${runId}/history`))) as HistoryResponse;
    expect(history).toEqual({
      runId,
      lastSeq: 4,
      series: {
        'run/wall_time_ms': { steps: [2, 3], seqs: [2, 3], values: [testTimeMs + 2, testTimeMs + 3], bucketSteps: 0 },
        'shift/kl': { steps: [3], seqs: [3], values: [0.5], bucketSteps: 0 },
        'train/loss': { steps: [2, 3], seqs: [2, 3], values: [2, 'NaN'], bucketSteps: 0 },
      },
    });
    const some = `/runs/${runId}/history?metric=train/loss&metric=a/b&toStep=2`;
    expect(await json(hub.request('GET', some))).toMatchObject({ series: { 'train/loss': { steps: [2] } } });
    expect(await json(hub.request('GET', `/runs/${runId}/events`))).toEqual({
      runId,
      lastSeq: 4,
      events: [started(), finished(4)],
    });
    expect(await json(hub.request('GET', `/runs/${runId}/commands`))).toEqual({ commands: [] });
    expect(await json(hub.request('GET', `/runs/${runId}`))).toMatchObject({
      run: { runId, state: 'finished', lastSeq: 4 },
    });
  });

  it('gives all of it as a file, with a digest in its last line, also while the run goes on', async () => {
    const runId = aRunId();
    const trainer = await hub.attached(runId);
    const stored = [started(), stepped(2, { 'train/loss': 'NaN', 'shift/kl': 0.5 }), stepped(3, {})];
    await trainer.emitWithAck('events', { events: stored });
    const answer = await hub.request('GET', `/runs/${runId}/export`);
    expect(answer.headers.get('content-type')).toBe('application/x-ndjson');
    expect(answer.headers.get('content-disposition')).toBe(`attachment; filename=${runId}.jsonl`);
    const text = await answer.text();
    const lines = text
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as unknown);
    const content = text.split('\n').slice(1, -2).join('\n') + '\n';
    expect(lines).toEqual([
      { format: 'plumbline-run', version: 2, commands: 0, events: 3 },
      expect.objectContaining({ runId, state: 'running' }),
      ...stored.map(asStored),
      { digest: `sha256:${createHash('sha256').update(content).digest('hex')}` },
    ]);
  });

  it('breaks an export off when the store fails, so that nobody takes it for whole', async () => {
    const own = await TestHub.start();
    const runId = aRunId();
    const trainer = await own.attached(runId);
    // Several pages.
    const described = (seq: number): ControlEvent => ({
      ...{ type: 'run_described', seq, step: seq, wallTimeMs: testTimeMs, notes: 'x'.repeat(20_000) },
    });
    for (let seq = 1; seq < 600; seq += 200) {
      const page = Array.from({ length: 200 }, (_, i) => (seq + i === 1 ? started() : described(seq + i)));
      expect(await trainer.emitWithAck('events', { events: page })).toMatchObject({ ok: true });
    }
    const { store } = own.hub.runs;
    const events = store.events.bind(store);
    store.events = async (id, fromSeq, limit) => {
      if (fromSeq > 400) await store.close();
      return events(id, fromSeq, limit);
    };
    const answer = await own.request('GET', `/runs/${runId}/export`);
    expect(answer.status).toBe(200);
    await expect(answer.text()).rejects.toThrow('terminated');
    const next = await own.request('GET', `/runs/${runId}/export`);
    expect([next.status, await next.json()]).toMatchObject([503, { error: { code: 'store_failed' } }]);
    expect(next.headers.get('content-type')).toBe('application/json; charset=utf-8');
    expect(next.headers.get('content-disposition')).toBeNull();
    await own.remove();
  });

  it.each([
    ['/runs/nowhere/export', 404, 'not_found'],
    ['/runs/nowhere/history', 404, 'not_found'],
    ['/runs/nowhere/events', 404, 'not_found'],
    ['/runs/nowhere/commands', 404, 'not_found'],
    ['/runs/UPPER', 400, 'invalid'],
    ['/runs/nowhere/history?maxPoints=many', 400, 'invalid'],
    ['/runs/nowhere/history?metric=%20loss', 400, 'invalid'],
    ['/no/such/thing', 404, 'not_found'],
  ])('%s: %i', async (path, status, code) => {
    const answer = await hub.request('GET', path);
    expect(answer.status).toBe(status);
    expect(await answer.json()).toEqual({ error: { code, message: expect.stringMatching(/\w{3}/), retry: false } });
  });

  it('refuses bodies that are too long or no JSON', async () => {
    const headers = { 'content-type': 'application/json' };
    const long = await fetch(`${hub.url}/api/session`, {
      method: 'POST',
      headers,
      body: JSON.stringify('x'.repeat(300_000)),
    });
    expect([long.status, await long.json()]).toMatchObject([413, { error: { code: 'too_large' } }]);
    const broken = await fetch(`${hub.url}/api/session`, { method: 'POST', headers, body: '{"token":' });
    expect([broken.status, await broken.json()]).toMatchObject([400, { error: { code: 'invalid' } }]);
  });
});

describe('the dashboard', () => {
  const policyOf = async (path: string) => (await fetch(`${hub.url}${path}`)).headers.get('content-security-policy')!;
  const hash = (script: string) => `'sha256-${createHash('sha256').update(script).digest('base64')}'`;

  it("allows each page its own inline scripts and no other's", async () => {
    const home = await policyOf('/');
    expect(home).toContain(`script-src 'self' ${hash(inline)} ${hash('2')};`);
    expect(home).not.toContain(hash('3'));
    expect(await policyOf('/runs/')).toContain(`script-src 'self' ${hash('3')};`);
    expect(home).not.toMatch(/script-src[^;]*unsafe/);
  });

  it('keeps named-by-content files for long and asks for pages anew', async () => {
    expect((await fetch(`${hub.url}/_next/static/a.js`)).headers.get('cache-control')).toContain('immutable');
    expect((await fetch(`${hub.url}/`)).headers.get('cache-control')).toBe('no-cache');
  });

  it.each([
    ['br, gzip', 'br'],
    ['gzip', 'gzip'],
    ['gzip;q=0, br;q=0', null],
    ['identity', null],
  ])('answers a browser that takes %s with what the build compressed: %s', async (accepted, coding) => {
    const answer = await fetch(`${hub.url}/_next/static/b.js`, { headers: { 'accept-encoding': accepted } });
    expect(answer.headers.get('content-encoding')).toBe(coding);
    expect(answer.headers.get('vary')).toContain('Accept-Encoding');
    expect(answer.headers.get('content-type')).toMatch(/^(text|application)\/javascript/);
    expect(answer.headers.get('cache-control')).toContain('immutable');
    expect(await answer.text()).toBe(script);
  });

  it('gives a compressed page the policy of its scripts, and a request that is no GET no coding', async () => {
    expect(await policyOf('/runs/')).toContain(hash('3'));
    const page = await fetch(`${hub.url}/runs/`, { headers: { 'accept-encoding': 'br' } });
    expect(page.headers.get('content-encoding')).toBe('br');
    expect(page.headers.get('content-type')).toContain('text/html');
    expect(await page.text()).toContain('runs');
    const posted = await fetch(`${hub.url}/_next/static/b.js`, { method: 'POST' });
    expect([posted.status, posted.headers.get('content-encoding'), await posted.text()]).toEqual([
      404,
      null,
      '<p>lost</p>',
    ]);
    expect((await fetch(`${hub.url}/%E0%A4%A/`)).status).toBe(404);
  });

  it('answers an unknown page with its own page, and leads to the one with a slash', async () => {
    const lost = await fetch(`${hub.url}/no/such/page`);
    expect([lost.status, await lost.text()]).toEqual([404, '<p>lost</p>']);
    expect((await fetch(`${hub.url}/runs`)).url).toBe(`${hub.url}/runs/`);
    expect((await fetch(`${hub.url}/../../etc/passwd`)).status).toBe(404);
  });

  it('that is not built says how to build it, while the API answers', async () => {
    const bare = await TestHub.start({ webDir: join(webDir, 'nowhere') });
    const page = await fetch(bare.url);
    expect([page.status, await page.text()]).toEqual([503, expect.stringContaining('npm start')]);
    expect((await bare.request('GET', '/catalog')).status).toBe(200);
    await bare.remove();
  });
});
