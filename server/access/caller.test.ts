import type { IncomingMessage } from 'node:http';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CallerBudgets, Callers } from './caller.js';
import { Sessions } from './sessions.js';

const token = 'a-trainer-token-of-32-characters';
const folder = mkdtempSync(join(tmpdir(), 'plumbline-caller-'));
let sessions: Sessions;
let cookie: string;
beforeAll(() => {
  sessions = new Sessions(folder);
  cookie = `${sessions.cookieName}=${sessions.open(sessions.createLink())}`;
});
afterAll(() => rmSync(folder, { recursive: true }));

const asked = (remoteAddress: string, headers: IncomingMessage['headers'] = {}, trustedProxies = 0) =>
  new Callers(sessions, token, trustedProxies).of({ socket: { remoteAddress }, headers } as IncomingMessage);

describe('who asks', () => {
  it('is a session, a trainer, or else an address', () => {
    const address = '192.0.2.1';
    expect(asked(address, { cookie })).toEqual({ kind: 'session', name: sessions.nameOf(cookie), address });
    expect(asked(address, { authorization: `Bearer ${token}` })).toEqual({
      ...{ kind: 'trainer', name: address, address },
    });
    for (const headers of [{}, { authorization: 'Bearer wrong' }, { cookie: `${sessions.cookieName}=../links` }])
      expect(asked(address, headers)).toEqual({ kind: 'address', name: address, address });
  });

  it.each([
    ['192.0.2.1', '::ffff:192.0.2.1', true],
    ['2001:db8::1', '2001:db8::ffff:2', true],
    ['2001:db8::1', '2001:db8:0:1::1', false],
    ['192.0.2.1', '192.0.2.2', false],
  ])('%s and %s are one: %s', (one, other, areOne) => {
    expect(asked(one).name === asked(other).name).toBe(areOne);
  });

  it.each([
    [0, '10.0.0.1'],
    [1, '198.51.100.7'],
    [2, '203.0.113.9'],
    [5, '203.0.113.9'],
  ])('behind %i proxies that are trusted is at %s', (trusted, address) => {
    const headers = { 'x-forwarded-for': '203.0.113.9, 198.51.100.7' };
    expect(asked('10.0.0.1', headers, trusted).address).toBe(address);
  });
});

describe('budgets', () => {
  it('are one for each caller', () => {
    const budget = { burst: 2, perSecond: 0.001 };
    const budgets = new CallerBudgets({ address: budget, session: budget, trainer: budget });
    const take = (headers: IncomingMessage['headers'], address = '192.0.2.1') =>
      budgets.of(asked(address, headers)).take();
    expect([take({}), take({}), take({})]).toEqual([true, true, false]);
    expect(budgets.of(asked('192.0.2.1')).waitSeconds).toBeGreaterThan(0);
    expect([take({}, '192.0.2.2'), take({ cookie }), take({ authorization: `Bearer ${token}` })]).toEqual(
      Array(3).fill(true),
    );
  });

  it('forget addresses that ask no more, so that many of them fill no memory', () => {
    const budget = { burst: 1, perSecond: 0.001 };
    const budgets = new CallerBudgets({ address: budget, session: budget, trainer: budget });
    const take = (i: number) => budgets.of({ kind: 'address', name: `${i}`, address: '' }).take();
    expect(take(0)).toBe(true);
    for (let i = 1; i <= 10_000; i++) take(i);
    // Forgotten as the oldest, it may ask again; the newest may not.
    expect([take(0), take(10_000)]).toEqual([true, false]);
  });
});
