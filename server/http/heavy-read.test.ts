import { once } from 'node:events';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ErrorBody } from '@plumbline/shared/http';
import type { RunId } from '@plumbline/shared/run';
import { ReadAbandonedError } from '../store/event-store.js';
import { aRunId, eventually, started, stepped, TestHub } from '../../test/support/test-hub.js';

/** Every route that reads what is stored of a run, whatever its size. */
const answers = ['history', 'windows', 'findings', 'events', 'commands', 'rules', 'checkpoints', 'evaluations'];
/** Routes that answer from memory. */
const light = ['/api/runs', '/api/catalog', '/api/session', '/healthz'];

describe('routes that read much', () => {
  let hub: TestHub;
  let runId: RunId;
  /** Lets all reads that hang go on. */
  let release: () => void;
  let hanging: Promise<Response>[] = [];

  beforeAll(async () => {
    hub = await TestHub.start();
    runId = aRunId();
    const trainer = await hub.attached(runId);
    await trainer.emitWithAck('events', { events: [started(), stepped(2)] });
    const { store } = hub.hub.runs;
    const { eachControlEvents, commands } = store;
    const held = new Promise<void>((resolve) => (release = resolve));
    let begun = 0;
    const hang = async (): Promise<void> => {
      begun++;
      await held;
    };
    store.eachControlEvents = async (...args) => {
      await hang();
      return eachControlEvents.apply(store, args);
    };
    // An export reads them first.
    store.commands = async (...args) => {
      await hang();
      return commands.apply(store, args);
    };
    // More than one client may have, begun and waiting.
    const asks = (path: string) => hub.request('GET', path, undefined, { authorization: `Bearer ${hub.token}` });
    hanging = [
      ...Array.from({ length: 2 + 128 }, () => asks(`/runs/${runId}/events`)),
      ...Array.from({ length: 3 + 8 }, () => asks(`/runs/${runId}/export`)),
    ];
    await eventually(() => Promise.resolve(begun === 5 ? true : null));
  });
  afterAll(async () => {
    release();
    await Promise.all(hanging.map(async (answer) => (await answer).text()));
    await hub.remove();
  });

  it.each<[string, () => string]>([
    ...answers.map((name): [string, () => string] => ['GET', () => `/runs/${runId}/${name}`]),
    ['GET', () => `/compare?run=${runId}`],
    ['GET', () => `/runs/${runId}/export`],
    ['POST', () => '/backup'],
  ])('are refused when too many wait, with the time to come again: %s %o', async (method, path) => {
    // The last of those that hang may not have come to the hub yet.
    const answer = await eventually(async () => {
      const answer = await hub.request(method, path(), undefined, { authorization: `Bearer ${hub.token}` });
      if (answer.status === 503) return answer;
      await answer.text();
      return null;
    });
    expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0);
    expect(((await answer.json()) as ErrorBody).error).toMatchObject({
      code: 'rate_limited',
      message: expect.stringMatching(/^The hub answers \d large reads at a time, .* Try again in \d+ s\.$/),
    });
  });

  it('hold up nothing that is answered from memory', async () => {
    for (const path of light) expect([path, (await fetch(`${hub.url}${path}`)).status]).toEqual([path, 200]);
    expect((await hub.request('GET', `/runs/${runId}`)).status).toBe(200);
  });

  it('hold up no other client', async () => {
    const answer = await hub.request('GET', `/runs/${runId}/history`, undefined, { cookie: await hub.cookie() });
    expect(answer.status).toBe(200);
  });
});

describe('the reads of an export', () => {
  it('end when its client goes away, in the middle of a page of events', async () => {
    const hub = await TestHub.start();
    try {
      const runId = aRunId();
      const trainer = await hub.attached(runId);
      await trainer.emitWithAck('events', { events: [started(), stepped(2)] });
      const { store } = hub.hub.runs;
      const client = new AbortController();
      const ended = new Promise<unknown>((resolve) => {
        store.events = async (_runId, _fromSeq, _limit, signal) => {
          client.abort();
          if (!signal) throw new Error('An export reads events without a signal.');
          await once(signal, 'abort');
          resolve(signal.reason);
          throw signal.reason as Error;
        };
      });
      const headers = { authorization: `Bearer ${hub.token}` };
      const answer = fetch(`${hub.url}/api/runs/${runId}/export`, { headers, signal: client.signal });
      await expect(answer.then((begun) => begun.text())).rejects.toThrow();
      expect(await ended).toBeInstanceOf(ReadAbandonedError);
    } finally {
      await hub.remove();
    }
  });
});
