import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { IRouter } from 'express';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PollingClient } from '../../test/support/polling-client.js';
import { aRunId, eventually, started, TestHub } from '../../test/support/test-hub.js';
import { Callers } from '../access/caller.js';
import { createApp, type AppParts } from './app.js';
import { readQueues } from './heavy-read.js';

const webDir = mkdtempSync(join(tmpdir(), 'plumbline-watch-'));
writeFileSync(join(webDir, 'index.html'), '<p>home</p>');
const runId = aRunId();
let hub: TestHub;
beforeAll(async () => {
  hub = await TestHub.start({ watch: 'session', webDir });
  await (await hub.attached(runId)).emitWithAck('events', { events: [started()] });
});
afterAll(async () => {
  await hub.remove();
  rmSync(webDir, { recursive: true });
});

interface Route {
  method: string;
  path: string;
}
type Layer = IRouter['stack'][number] & { slash?: boolean; matchers?: ((path: string) => unknown)[] };

/** All routes of the hub, as Express has them: one that is added is among them. */
function routes(): Route[] {
  const { sessions } = hub.hub;
  const app = createApp({
    ...{ runs: hub.hub.runs, supervisor: hub.hub.supervisor, sessions, token: hub.token, dataDir: hub.config.dataDir },
    ...{ guard: hub.config, callers: new Callers(sessions, hub.token, 0), watch: 'session', webDir },
    ...{ log: pino({ level: 'silent' }), metrics: new Registry() },
    ...{ reads: readQueues(() => true), maxSeriesWindows: 1 },
    ...{ onKnown: () => undefined, onError: () => undefined, readiness: () => Promise.reject(new Error('not asked')) },
  } satisfies AppParts);
  const within = (stack: Layer[], base: string): Route[] =>
    stack.flatMap((layer) => {
      if (layer.route) {
        const { path, stack: handlers } = layer.route;
        return handlers.map(({ method }) => ({ method: method.toUpperCase(), path: base + path }));
      }
      const inner = (layer.handle as unknown as { stack?: Layer[] }).stack;
      if (!inner) return [];
      return within(inner, base || (layer.slash ? '' : '/api'));
    });
  return within((app.router as unknown as { stack: Layer[] }).stack, '');
}

const open = ['GET /healthz', 'GET /readyz', 'GET /api/session', 'POST /api/session', 'DELETE /api/session'];
const ask = ({ method, path }: Route, headers: Record<string, string> = {}) =>
  fetch(hub.url + path.replace(':runId', runId), { method, headers });

describe('a hub whose runs may not be watched without a session', () => {
  it('answers no route but health and sessions to those without', async () => {
    const all = routes();
    // The way routes are found still works.
    for (const known of [...open, 'GET /metrics', 'GET /api/runs/:runId/export', 'POST /api/backup'])
      expect(all.map(({ method, path }) => `${method} ${path}`)).toContain(known);
    const wrong = { authorization: 'Bearer wrong', cookie: `${hub.hub.sessions.cookieName}=wrong` };
    for (const route of all.filter(({ method, path }) => !open.includes(`${method} ${path}`)))
      for (const headers of [{}, wrong])
        expect([route, (await ask(route, headers as Record<string, string>)).status]).toEqual([route, 401]);
    expect((await ask({ method: 'GET', path: '/api/nothing' })).status).toBe(401);
  });

  it('shows a session and the trainer token everything', async () => {
    for (const headers of [{ cookie: await hub.cookie() }, { authorization: `Bearer ${hub.token}` }])
      for (const path of ['/metrics', '/api/runs', `/api/runs/:runId`, `/api/runs/:runId/export`, '/api/catalog'])
        expect([path, (await ask({ method: 'GET', path }, headers as Record<string, string>)).status]).toEqual([
          path,
          200,
        ]);
  });

  it('says how to get a link, and no more than whether it is ready', async () => {
    const refused = async (headers: Record<string, string>): Promise<string> => {
      const text = await (await ask({ method: 'GET', path: '/api/runs' }, headers)).text();
      // Anybody may ask: nothing of the machine is told.
      expect(text).not.toContain(hub.config.dataDir);
      const { error } = JSON.parse(text) as { error: { code: string; message: string } };
      expect(error).toEqual({ code: 'unauthorized', message: expect.any(String), retry: false });
      return error.message;
    };
    const link = /Open the link .* `npm run plumbline -- link` prints a new one/;
    expect(await refused({ 'sec-fetch-site': 'none' })).toMatch(link);
    expect(await refused({ 'sec-fetch-site': 'none' })).not.toMatch(/Bearer/);
    expect(await refused({})).toMatch(/^Show the hub's trainer token, as `Authorization: Bearer`/);
    expect(await refused({})).not.toMatch(/link|browser/);
    expect(await refused({ authorization: 'Bearer wrong' })).toMatch(/^The token is wrong/);
    expect(await (await ask({ method: 'GET', path: '/api/session' })).json()).toEqual({
      mayControl: false,
      mayWatch: false,
      howToControl: expect.stringMatching(link),
    });
    await hub.hub.runs.store.close();
    const ready = { method: 'GET', path: '/readyz' };
    expect(await (await ask(ready)).json()).toEqual({ ready: false, problems: [] });
    expect(await (await ask(ready, { authorization: `Bearer ${hub.token}` })).json()).toMatchObject({
      problems: [{ code: 'store_failed' }],
    });
    await hub.restart();
  });

  it('serves the pages, which show how to get a link', async () => {
    expect((await fetch(hub.url)).status).toBe(200);
  });

  it('lets no dashboard in without a session, and a session until it is given up', async () => {
    const stranger = hub.dashboard();
    const error = await new Promise<Error & { data?: unknown }>((resolve) => stranger.once('connect_error', resolve));
    expect(error.data).toMatchObject({ code: 'unauthorized' });
    const polling = await PollingClient.open(hub.url);
    await polling.post(['40/dashboard,']);
    expect(await polling.poll()).toMatch(/^44\/dashboard,/);

    const cookie = await hub.cookie();
    const mine = hub.dashboard(cookie);
    expect(await mine.emitWithAck('watch', { runId })).toMatchObject({ ok: true });
    mine.io.reconnection(false);
    await hub.request('DELETE', '/session', undefined, { cookie });
    await eventually(() => (mine.connected ? null : true));
  });
});
