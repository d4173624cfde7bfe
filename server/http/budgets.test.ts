import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually, TestHub } from '../../test/support/test-hub.js';
import { requestBudgets } from '../access/limits.js';

let hub: TestHub;
beforeAll(async () => {
  hub = await TestHub.start();
});
afterAll(() => hub.remove());

/** Uses up what the address of this test may ask. */
async function exhaust(): Promise<Response> {
  for (let asked = 0; asked < 4 * requestBudgets.address.burst; asked += 50) {
    const answers = await Promise.all(Array.from({ length: 50 }, () => hub.request('GET', '/catalog')));
    for (const answer of answers) if (answer.status === 429) return answer;
  }
  throw new Error('The hub refused nothing.');
}
const status = async (headers: Record<string, string>) =>
  (await hub.request('GET', '/runs', undefined, headers)).status;

describe('an address that has asked too much', () => {
  it('is told when to ask again, and is answered then', async () => {
    const refused = await exhaust();
    expect(await refused.json()).toEqual({
      error: { code: 'rate_limited', message: 'Too many requests; try again in 1 s.', retry: true },
    });
    expect(refused.headers.get('retry-after')).toBe('1');
    await eventually(async () => ((await status({})) === 200 ? true : null));
  });

  it('takes nothing from a session or a trainer at the same address, nor from one who signs in', async () => {
    const cookie = await hub.cookie();
    await exhaust();
    expect(await status({ cookie })).toBe(200);
    expect(await status({ authorization: `Bearer ${hub.token}` })).toBe(200);
    expect(await status({ cookie: await hub.cookie() })).toBe(200);
  });
});

it('a right link opens a session however many wrong ones came before', async () => {
  for (let i = 0; i < 100; i++)
    expect((await hub.request('POST', '/session', { token: `wrong${i}` })).status).toBe(401);
  expect((await hub.request('POST', '/session', { token: hub.hub.sessions.createLink() })).status).toBe(200);
});
