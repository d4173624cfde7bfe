import { describe, expect, it } from 'vitest';
import { watchLimits } from '../access/limits.js';
import { WatchShares } from './watch-shares.js';

const caller = (name: string, kind: 'address' | 'session' = 'address') => ({ kind, name });
const selection = (key: string, names = 1) => ({ key, names });
const { perCaller, total } = watchLimits.address;

describe('shares of what is watched', () => {
  it('let one caller watch a bounded number of selections, and the same one from many connections', () => {
    const shares = new WatchShares();
    for (let i = 0; i < perCaller.selections; i++) shares.take(caller('a'), selection(`${i}`), null);
    for (let i = 0; i < 10; i++) shares.take(caller('a'), selection('0'), null);
    expect(() => shares.take(caller('a'), selection('more'), null)).toThrow(/different selections of series/);
    // Another one in the place of its own is no more than before; what is shared stays.
    shares.take(caller('a'), selection('more'), selection('1'));
    expect(() => shares.take(caller('a'), selection('another'), selection('0'))).toThrow();
    shares.release(caller('a'), selection('more'));
    shares.take(caller('a'), selection('another'), null);
  });

  it('bound the names in them, and let everybody watch one', () => {
    const shares = new WatchShares();
    const large = perCaller.names / 2 + 1;
    shares.take(caller('a'), selection('0', large), null);
    expect(() => shares.take(caller('a'), selection('1', large), null)).toThrow(/names in all/);
    shares.take(caller('a'), selection('1', large), selection('0', large));
    shares.release(caller('a'), selection('1', large));
    shares.take(caller('a'), selection('2', perCaller.names + 1), null);
  });

  it('are bounded for all addresses together, and leave sessions theirs', () => {
    const shares = new WatchShares();
    for (let i = 0; i < total.selections; i++) shares.take(caller(`address ${i}`), selection('x'), null);
    expect(() => shares.take(caller('late'), selection('x'), null)).toThrow(/open a session/);
    shares.take(caller('owner', 'session'), selection('x'), null);
    shares.release(caller('address 0'), selection('x'));
    shares.take(caller('late'), selection('x'), null);
  });
});
