import { parseArgs } from 'node:util';
import { attacksOf } from './all-attacks.js';
import { runAttacks } from './attack-run.js';
import { fuzzedInputs } from './fuzz/fuzz-attacks.js';
import { clearStoreDamage } from './store-damage-attacks.js';

/*
 * Attacks by one client, one file or one bad disk:
 *   npm run -s test:attack -- --fuzz 100000 --seed 1 --only transport
 * Outcomes go to stderr and one line of JSON to stdout; the exit code is 1 if an attack succeeded.
 */
const { values: flags } = parseArgs({
  options: {
    fuzz: { type: 'string', default: '100000' },
    seed: { type: 'string', default: '1' },
    only: { type: 'string', default: '' },
    'big-run-steps': { type: 'string', default: '30000' },
  },
});
const seed = Number(flags.seed);
/** Attacks whose name contains this. */
const attacks = attacksOf({ fuzz: Number(flags.fuzz), seed }).filter(({ name }) => name.includes(flags.only));
const log = (line: string): void => console.error(line);
try {
  const { outcomes, ...result } = await runAttacks({ attacks, bigRunSteps: Number(flags['big-run-steps']), log });
  const failures = outcomes.filter(({ held }) => !held).map(({ name }) => name);
  console.log(JSON.stringify({ ...result, failures, fuzzed: Object.fromEntries(fuzzedInputs), seed }));
  if (result.failed > 0) log(`${result.failed} did not hold; again with --seed ${seed} --only NAME`);
  process.exitCode = result.failed > 0 ? 1 : 0;
} finally {
  await clearStoreDamage();
}
