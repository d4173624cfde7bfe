import { afterAll, beforeAll, expect, it } from 'vitest';
import { aRunId, started, stepped, TestHub } from '../../test/support/test-hub.js';
import { HubApi } from '../hub-api.js';
import { seriesOf } from './rules.js';

let hub: TestHub;
beforeAll(async () => {
  hub = await TestHub.start();
});
afterAll(() => hub.remove());

it('rules are warned of series without any value, and of no series whose values are not finite', async () => {
  const runId = aRunId();
  const names = ['train/loss', 'my/odd', 'my/declared'];
  const trainer = await hub.attached(runId);
  const events = [started(1, names), stepped(2, { 'train/loss': 1, 'my/odd': 'NaN' }, names)];
  expect(await trainer.emitWithAck('events', { events })).toMatchObject({ ok: true });
  const known = await seriesOf(new HubApi(hub.url, {}), runId);
  expect(known).toEqual(expect.arrayContaining(['train/loss', 'my/odd']));
  expect(known).not.toContain('my/declared');
});
