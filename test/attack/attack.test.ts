import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { attacksOf } from './all-attacks.js';
import { carryOut, nothingWrong } from './attack-run.js';
import { clearStoreDamage } from './store-damage-attacks.js';
import { Victim } from './victim.js';

const seed = 1;
/** A few quick attacks of each kind, about a second each. */
const chosen = [
  'transport: a POST of 8 MB of joins of /',
  'transport: 20 WebSockets with 57 kB of joins of /dashboard',
  'transport: a token of 8 MB',
  'http: paths that lead out of the dashboard and the API',
  'http: requests that two servers parse differently',
  'http: unreadable bodies',
  'http: invalid WebSocket frames',
  'readers: 16 windows of ten steps at once of millions of values',
  'readers: 16 lists of series at once of millions of values',
  'readers: 4 evaluations at once of a long log',
  'readers: 4 rules at once of a long log',
  'readers: 4 export at once of 50,000 tensors',
  'readers: 4 findings at once of 50,000 tensors',
  'readers: unknown numbers, names and ranges',
  'limits: sixty wrong links from the owner’s address',
  'trainer: a metric name of 5 MB',
  'trainer: metrics called __proto__, constructor and toString',
  'trainer: a stage of 2^31',
  'trainer: a bare NaN, as Python writes it',
  'trainer: events after the last one, sent before its answer',
  'trainer: two runs attached at once on one connection',
  'commands: without a session, and with a wrong one',
  'commands: unknown kinds, ids and runs',
  'watchers: 250 of one run, each with all 215 series and a name of its own, at 20,000 values a second',
  'files: a backup with sessions and a trainer token in it',
  'files: a data set of 60,000 rows with a fault in row 50,000',
  'store: a missing write-ahead log',
];

const attacks = attacksOf({ fuzz: 600, seed }).filter(({ name }) => chosen.includes(name) || name.startsWith('fuzz:'));

/** A part of `npm run -s test:attack`, with less input. */
describe('a hub that is attacked', () => {
  let victim: Victim;
  beforeAll(async () => {
    victim = await Victim.start({ bigRunSteps: 1000 });
  });
  afterAll(async () => {
    await victim?.remove();
    await clearStoreDamage();
  });

  it('includes every chosen attack', () => {
    expect(attacks.map(({ name }) => name)).toEqual(expect.arrayContaining(chosen));
  });
  it.for(attacks)('holds: $name', async (attack) => {
    const { saw, held } = await carryOut(attack, victim);
    expect({ saw, held }).toEqual({ saw: nothingWrong, held: true });
  });
});
