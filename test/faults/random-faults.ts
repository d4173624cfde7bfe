import { parseArgs } from 'node:util';
import { faultKinds } from './fault-kinds.js';
import { FaultRun } from './fault-run.js';

/*
 * Random faults on the real cluster:
 *   npm run -s test:faults -- --faults 200 --seed 1
 * Progress and differences go to stderr, one line of JSON to stdout; the exit code is 1 if anything was lost, stored
 * twice, applied twice, or differs between two places.
 */
const { values: flags } = parseArgs({
  options: {
    faults: { type: 'string', default: '200' },
    seed: { type: 'string', default: String(Math.floor(Math.random() * 2 ** 31)) },
    only: { type: 'string', default: '' },
    trainers: { type: 'string', default: '4' },
  },
});
/** Kinds whose name contains this. */
const kinds = faultKinds.filter((kind) => kind.includes(flags.only));
const seed = Number(flags.seed);
const log = (line: string): void => console.error(line);
log(`seed ${seed}`);
const { differences, recoveries, ...counts } = await FaultRun.run({
  ...{ seed, faults: Number(flags.faults), trainers: Number(flags.trainers), kinds, log },
});
for (const [kind, found] of Object.entries(differences) as [string, string[]][]) {
  for (const line of found.slice(0, 40)) log(`${kind}: ${line}`);
  if (found.length > 40) log(`${kind}: and ${found.length - 40} more`);
}
for (const kind of faultKinds) {
  const tookMs = recoveries.filter((recovery) => recovery.kind === kind).map(({ ms }) => ms);
  if (tookMs.length > 0) log(`${kind}: ${tookMs.length} times, slowest recovery ${Math.max(...tookMs)} ms`);
}
const { lost, duplicated, appliedTwice, other } = differences;
console.log(
  JSON.stringify({
    ...counts,
    ...{ lost: lost.length, duplicated: duplicated.length, appliedTwice: appliedTwice.length, other: other.length },
    ...{ maxRecoveryMs: Math.max(...recoveries.map(({ ms }) => ms)), seed },
  }),
);
const wrong = [lost, duplicated, appliedTwice, other].flat().length;
if (wrong > 0) log(`${wrong} difference(s); again with --seed ${seed} --faults ${flags.faults}`);
process.exit(wrong > 0 ? 1 : 0);
