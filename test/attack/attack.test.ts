import { afterAll, describe, expect, it } from 'vitest';
import { attacksOf } from './all-attacks.js';
import { runAttacks } from './attack-run.js';
import { clearStoreDamage } from './store-damage-attacks.js';

const seed = 1;
/** A few of each kind, of those that take about a second. */
const chosen = [
  'transport: a POST of 8 MB of joins of /',
  'transport: 20 WebSockets with 57 kB of joins of /dashboard',
  'transport: a token of 8 MB',
  'http: paths that lead out of the dashboard and the API',
  'http: requests that two servers read in two ways',
  'http: bodies that cannot be read',
  'readers: 16 windows of ten steps at once of millions of values',
  'readers: numbers, names and ranges that there are not',
  'limits: sixty wrong links from the owner’s address',
  'trainer: a metric name of 5 MB',
  'trainer: a metric called __proto__',
  'trainer: a stage of 2^31',
  'trainer: a bare NaN, as Python writes it',
  'trainer: events after the last word, sent before its answer',
  'trainer: two runs attached at once on one connection',
  'commands: without a session, and with a wrong one',
  'commands: kinds, ids and runs that there are not',
  'files: a backup with sessions and a trainer token in it',
  'files: a data set of 60,000 rows with a fault in row 50,000',
  'store: a missing write-ahead log',
];

/** A part of what `npm run -s test:attack` does, with less input; a failure names the attack to do it again with. */
describe('a hub that is attacked', () => {
  afterAll(clearStoreDamage);

  it('holds, and its owner and trainer notice nothing', async () => {
    const attacks = attacksOf({ fuzz: 600, seed }).filter(
      ({ name }) => chosen.includes(name) || name.startsWith('fuzz:'),
    );
    expect(attacks.length).toBeGreaterThan(chosen.length);
    const { outcomes, attempts, held } = await runAttacks({ attacks, bigRunSteps: 1000, log: () => undefined });
    expect(outcomes.filter((outcome) => !outcome.held)).toEqual([]);
    expect(held).toBe(attempts);
  });
});
