import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { aRunId, started, stepped, TestHub } from '../../test/support/test-hub.js';
import { StoreUnavailableError } from '../store/event-store.js';

let hub: TestHub;
beforeAll(async () => {
  hub = await TestHub.start();
});
afterAll(() => hub.remove());
const ready = async () => {
  const answer = await fetch(`${hub.url}/readyz`);
  return [answer.status, await answer.json()];
};

describe('a hub is ready', () => {
  it('while its store answers', async () => {
    expect(await ready()).toEqual([200, { ready: true, problems: [] }]);
  });

  it('but not between a failed write and the next successful one; a refused batch is no failure', async () => {
    const trainer = await hub.attached(aRunId());
    const { store } = hub.hub.runs;
    const append = store.append.bind(store);
    store.append = () => Promise.reject(new StoreUnavailableError('The disk is full. Free some space.'));
    await trainer.emitWithAck('events', { events: [started()] });
    expect(await ready()).toEqual([
      503,
      {
        ready: false,
        problems: [{ code: 'store_failed', message: 'The disk is full. Free some space.', retry: true }],
      },
    ]);
    expect((await fetch(`${hub.url}/healthz`)).status).toBe(200);
    store.append = append;
    expect(await trainer.emitWithAck('events', { events: [stepped(7)] })).toMatchObject({ error: { code: 'gap' } });
    expect(await trainer.emitWithAck('events', { events: [started()] })).toMatchObject({ ok: true });
    expect(await trainer.emitWithAck('events', { events: [stepped(7)] })).toMatchObject({ error: { code: 'gap' } });
    expect(await ready()).toEqual([200, { ready: true, problems: [] }]);
  });
});
